// The host that this process has: under node the fake one, on wasm the one that the generated entry connects.

import { host as fake } from './fake.js';

export let host = fake;

/** For the generated entry alone: the host's functions from now on. */
export function connect(real) {
  host = real;
}
