// What an agent of Bandstand is written with in JavaScript: typed input and output, failures, memory, models, tools,
// HTTP, log and progress. `bandstand.d.ts` documents every item.
//
//     import { agent, Permanent, Reply, shape } from 'bandstand';
//
//     export default agent({
//       input: shape.object({ text: shape.string }),
//       run({ text }) {
//         const words = text.match(/\S+/g)?.length ?? 0;
//         if (words === 0) throw new Permanent('text-empty', '`text` holds no word');
//         return new Reply({ words }, { confidence: 0.9 });
//       },
//     });
//
// Under node the host's functions are played by `bandstand/fake`; on wasm the generated entry connects the real ones.

import { Permanent } from './failure.js';
import { host } from './host.js';
import { toJson } from './json.js';
import * as shape from './shape.js';

export { Failure, HostError, HttpError, Permanent, Recoverable } from './failure.js';
export * as http from './http.js';
export * as memory from './memory.js';
export * as model from './model.js';
export { shape };
export * as tools from './tools.js';

const inUnit = (number) => (Number.isNaN(number) ? 0 : Math.min(Math.max(number, 0), 1));

export class Reply {
  constructor(output, { confidence, goto, choose, review } = {}) {
    if ([goto, choose, review].filter((way) => way != null).length > 1) {
      throw new TypeError('a reply goes one way: give one of `goto`, `choose` and `review`');
    }
    this.output = output;
    this.confidence = confidence == null ? undefined : inUnit(confidence);
    this.goto = goto ?? undefined;
    const choices = choose == null || Array.isArray(choose)
      ? choose : Object.entries(choose).map(([name, confidence]) => ({ name, confidence }));
    this.choose = choices?.map((choice) => ({ ...choice, confidence: inUnit(choice.confidence) }));
    this.review = review ?? undefined;
  }

  /** The output as JSON text; what is no object is a permanent failure. */
  outputJson() {
    let text;
    try {
      text = toJson(this.output);
    } catch (error) {
      throw new Permanent('output-invalid', `the output is no JSON: ${error.message}`);
    }
    if (text === undefined || text[0] !== '{') {
      throw new Permanent('output-invalid', `an output must be a JSON object, not ${String(text).slice(0, 100)}`);
    }
    return text;
  }
}

export class Call {
  constructor(members = {}) {
    Object.assign(this, {
      inputJson: '{}',
      runId: 'run-1',
      threadId: undefined,
      userId: undefined,
      workflow: 'test',
      node: 'node@1',
      visit: 1,
      attempt: 1,
      attemptsMax: 4,
      idempotencyKey: 'run-1/node@1',
      startedAt: '2026-01-01T00:00:00Z',
      timeoutMs: 60_000,
      seed: 1,
      contextJson: '{}',
    }, members);
  }

  /** A generator of numbers from 0 to below 1: others in every attempt, the same when it is replayed (Mulberry32). */
  random() {
    let state = this.seed | 0;
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
  }
}

class Agent {
  constructor({ input = shape.any, run }) {
    if (typeof run !== 'function') throw new TypeError('an agent has a function `run`');
    this.input = input;
    this.run = run;
  }

  answer(call) {
    const given = call instanceof Call ? call : new Call({ inputJson: JSON.stringify(call) });
    let input;
    try {
      input = this.input(JSON.parse(given.inputJson), '');
    } catch (error) {
      if (!(error instanceof shape.Misfit || error instanceof SyntaxError)) throw error;
      throw new Permanent('input-invalid', `the input of this node does not fit: ${error.message}`);
    }
    const found = this.run(input, given);
    if (typeof found?.then === 'function') {
      throw new TypeError('`run` must not be async: the host waits inside its functions, so there is nothing to await');
    }
    return found instanceof Reply ? found : new Reply(found);
  }
}

export function agent(definition) {
  return new Agent(typeof definition === 'function' ? { run: definition } : definition);
}

function write(level, message, fields) {
  let text;
  try {
    text = fields === undefined ? '' : toJson(fields);
  } catch {
    text = '';
  }
  host.logWrite(level, message, text.startsWith('{') ? text : '');
}

export const log = {
  write,
  debug: (message, fields) => write('debug', message, fields),
  info: (message, fields) => write('info', message, fields),
  warn: (message, fields) => write('warn', message, fields),
  error: (message, fields) => write('error', message, fields),
};

export const progress = {
  at: (fraction, message) => host.progressReport(fraction, message),
  doing: (message) => host.progressReport(undefined, message),
  chunk: (text) => host.progressChunk(text),
};
