// The host's functions as tests see them under node: one small memory for the process. It keeps the rules that agents rely on
// (filters, order, ids), not the host's limits, ranking or durability. Call `reset` before each test.

import { HostError, HttpError } from './failure.js';

const START = '2026-01-01T00:00:00Z';

const fresh = () => ({
  denied: false, threadId: undefined, userId: undefined, logged: [], shown: [], entries: [], facts: [], slots: new Map(),
  ids: 0, asked: [], answers: [], tools: new Map(), answerHttp: undefined,
});

let state = fresh();

export function reset() {
  state = fresh();
}

export function speakFor(threadId, userId) {
  Object.assign(state, { threadId, userId });
}

export function denyMemory() {
  state.denied = true;
}

export function answerWith(...answers) {
  state.answers.push(...answers.map((answer) => (typeof answer === 'string' ? { text: answer } : answer)));
}

export function tool(name, answer) {
  state.tools.set(name, answer);
}

export function answerHttp(answer) {
  state.answerHttp = answer;
}

export const asked = () => [...state.asked];
export const logged = () => [...state.logged];
export const shown = () => [...state.shown];

function granted() {
  if (state.denied) throw new HostError('denied', 'memory-not-granted', 'needs the grant `memory`');
  return state;
}

const words = (text) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
const copy = (value) => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));

function chat(request) {
  state.asked.push(request);
  const answer = state.answers.shift();
  if (answer === undefined) throw new HostError('not-found', 'no-answer', 'call `answerWith` first');
  if (answer instanceof HostError) throw answer;
  return {
    text: '', toolCalls: [], finish: 'stop', usage: { inputTokens: 0, outputTokens: 0, cachedTokens: 0 }, model: '', ...answer,
  };
}

const factsPut = (facts) => facts.map((fact) => {
  const { threadId, userId } = granted();
  const id = `fact-${++state.ids}`;
  state.facts.push({ id, score: 0, at: START, threadId, fact: { ...fact, userId: fact.userId ?? userId } });
  return id;
});

/** What the SDK calls: the same members as `connected` of `wasm.js` gives. */
export const host = {
  logWrite: (level, message, fields) => { state.logged.push(`${level} ${message} ${fields}`.trimEnd()); },
  progressChunk: (text) => { state.shown.push(text); },
  progressReport: (fraction, message) => {
    state.shown.push(fraction === undefined ? message : `${fraction.toFixed(2)} ${message}`);
  },

  auditAppend(action, payload, tags) {
    const { entries, threadId, userId } = granted();
    const id = `entry-${++state.ids}`;
    entries.push({ id, at: START, userId, threadId, source: 'node@1', action, payload: JSON.parse(payload), tags });
    return id;
  },
  auditSnapshot(limit) {
    const mine = granted().entries.filter((entry) => entry.threadId === state.threadId);
    return copy(limit === 0 ? [] : mine.slice(-limit));
  },

  factsPut,
  factsSearch({ text, tags, kinds, userId, threadId, limit }) {
    const wanted = words(text);
    const fits = (hit) => tags.every((tag) => hit.fact.tags.includes(tag))
      && (kinds.length === 0 || kinds.includes(hit.fact.kind))
      && (userId == null || userId === hit.fact.userId)
      && (threadId == null || threadId === hit.threadId);
    const score = (hit) => wanted.filter((word) => words(hit.fact.text).includes(word)).length;
    return granted().facts.filter(fits).reverse()
      .map((hit) => ({ ...copy(hit), score: score(hit) }))
      .filter((hit) => wanted.length === 0 || hit.score > 0)
      .sort((a, b) => b.score - a.score)
      .slice(0, limit);
  },
  factsForget(id) {
    const at = granted().facts.findIndex((hit) => hit.id === id);
    if (at < 0) throw new HostError('not-found', 'fact-not-found', 'no such fact');
    state.facts.splice(at, 1);
  },
  factsReflect(entryId) {
    const entry = granted().entries.find(({ id }) => id === entryId);
    if (!entry) throw new HostError('not-found', 'entry-not-found', 'no such entry');
    const { payload, tags } = entry;
    const text = JSON.stringify(payload);
    return factsPut([{ text, kind: 'note', tags, salience: 0.5, confidence: 0.5, source: entryId }]);
  },
  factsConsolidate() {
    const seen = new Set();
    const before = granted().facts.length;
    state.facts = state.facts.filter((hit) => {
      const key = JSON.stringify([hit.fact.userId, words(hit.fact.text)]);
      return !seen.has(key) && seen.add(key);
    });
    return before - state.facts.length;
  },

  slotsGet: (name) => copy(granted().slots.get(name)),
  slotsSet(name, json) {
    const value = JSON.parse(json);
    if (value === null) granted().slots.delete(name);
    else granted().slots.set(name, value);
  },
  slotsList: () => [...granted().slots.keys()].sort(),

  modelChat: chat,
  * modelStream(request) {
    const response = chat(request);
    for (const word of response.text.match(/\S*\s|\S+/g) ?? []) yield { type: 'text', text: word };
    yield* response.toolCalls;
    yield { type: 'done', response };
  },
  /** A vector of the counts of letters: enough to tell texts apart. */
  modelEmbed: (_, texts) => texts.map((text) => [...'abcdefghijklmnopqrstuvwxyz']
    .map((letter) => text.toLowerCase().split(letter).length - 1)),

  toolsList: () => [...state.tools.keys()].map((name) => ({ name, description: '', parameters: { type: 'object' } })),
  toolsCall(name, json) {
    const answer = state.tools.get(name);
    if (!answer) throw new HostError('denied', 'tools-not-granted', 'call `tool` first');
    const args = JSON.parse(json);
    if (args === null || typeof args !== 'object' || Array.isArray(args)) {
      throw new HostError('invalid', 'arguments-not-object', 'arguments are a JSON object');
    }
    return copy(answer(args));
  },

  httpSend(request) {
    if (!state.answerHttp) throw new HttpError('http-request-denied', 'nobody answers in this test: call `answerHttp` first');
    return state.answerHttp(request);
  },
};
