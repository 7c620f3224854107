// The host's memory: what happened (`audit`), what is known (`facts`), what is at hand (`slots`). Each is a module of its own, so that
// a bundle holds what is called and no more: from that `plugin build` tells what `uses` lacks.

export * as audit from './audit.js';
export * as facts from './facts.js';
export * as slots from './slots.js';
