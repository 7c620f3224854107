// What an agent of Bandstand is written with in JavaScript and TypeScript. Spans are milliseconds, instants RFC 3339 text.

/** Any JSON. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface FailureOptions {
  /** The earliest sensible time for another attempt, from now. The longer of this and the policy's delay wins. */
  retryAfter?: number;
  /** Anything that the node which handles the failure may want to see. */
  data?: unknown;
}

/** An attempt that failed, with its reason. Throw `Recoverable` or `Permanent`. */
export abstract class Failure extends Error {
  readonly kind: 'permanent' | 'recoverable';
  /** The cause's name in kebab-case, the agent's own: `text-empty`. */
  readonly code: string;
  readonly retryAfter: number | undefined;
  readonly data: unknown;
}

/** The same input fails in the same way: no retry. */
export class Permanent extends Failure {
  constructor(code: string, message: string, options?: Omit<FailureOptions, 'retryAfter'>);
}

/** Another attempt may help. */
export class Recoverable extends Failure {
  constructor(code: string, message: string, options?: FailureOptions);
}

/** The host did not do as asked. Left alone it becomes a failure: recoverable where another try may help. */
export class HostError extends Error {
  constructor(kind: HostError['kind'], code: string, message: string, options?: { retryAfter?: number });
  /** The broad reason. */
  readonly kind: 'denied' | 'invalid' | 'not-found' | 'limit' | 'unavailable' | 'cancelled' | 'other';
  /** The exact reason in kebab-case; new ones may appear at any time. */
  readonly code: string;
  readonly retryAfter: number | undefined;
  failure(): Failure;
}

/** There is no response to an HTTP request: not granted, no such host, no connection, no answer in time, too large. Left alone it becomes
 * a failure: recoverable where `isTransient`. */
export class HttpError extends Error {
  constructor(code: string, message: string, options?: { isTransient?: boolean });
  /** The name of the error in `wasi:http`: `http-request-denied`, `connection-refused`; or `url-invalid`, `header-refused`. */
  readonly code: string;
  /** Whether the same request can end otherwise. */
  readonly isTransient: boolean;
  failure(): Failure;
}

/** What an agent's input looks like; a value that does not fit is the permanent failure `input-invalid`. */
export namespace shape {
  /** Checks a value that stands at a JSON pointer. Throws where it does not fit. */
  type Shape<T> = (value: unknown, at: string) => T;
  type Optional<T> = Shape<T | undefined> & { optional: true };
  /** The type that a shape gives: `shape.Infer<typeof Input>`. */
  type Infer<S> = S extends Shape<infer T> ? T : never;
  type Members = Record<string, Shape<unknown>>;

  const any: Shape<any>;
  const string: Shape<string>;
  const number: Shape<number>;
  /** A whole number. */
  const integer: Shape<number>;
  const boolean: Shape<boolean>;
  /** One of these. */
  function oneOf<const T extends string | number | boolean>(...options: T[]): Shape<T>;
  function list<T>(item: Shape<T>): Shape<T[]>;
  /** An object whose members all have one shape. */
  function record<T>(item: Shape<T>): Shape<Record<string, T>>;
  /** An object with these members; others are left out. */
  function object<M extends Members>(members: M): Shape<{ [N in keyof M]: Infer<M[N]> }>;
  /** May be left out, or be null; then it is undefined. */
  function optional<T>(shape: Shape<T>): Optional<T>;
}

/** One of the ways an agent sees to go on. */
export interface Choice {
  /** A key of the node's `route`. */
  name: string;
  /** 0 to 1; what lies outside is moved to the nearer end. */
  confidence: number;
  /** For the routing record; shown to people. */
  reason?: string;
}

/** What a person is asked before the run goes on. */
export interface Review {
  /** One line: what is to be decided. */
  title: string;
  /** Why the agent does not decide it alone. */
  reason: string;
  /** JSON Schema of a form for the reviewer. */
  form?: unknown;
  /** What is to be approved; left out, the whole output. */
  propose?: unknown;
  /** How long the review stays open. */
  timeoutMs?: number;
  /** Who may answer; nobody named: anyone whom the workflow allows. */
  reviewers?: string[];
  /** How many approvals it takes; 1 if left out. */
  quorum?: number;
}

/** How sure the agent is of its output, 0 to 1, and where the run goes: one of `goto`, `choose` and `review`, or none to go as the
 * workflow file says. */
export interface ReplyOptions {
  confidence?: number;
  /** A node of the node's `goto` list. */
  goto?: string;
  /** Options for the node's `route`. */
  choose?: Choice[] | Record<string, number>;
  review?: Review;
}

/** The attempt succeeded. The output is an object; anything else is the permanent failure `output-invalid`. */
export class Reply<Output extends object = object> {
  constructor(output: Output, options?: ReplyOptions);
  readonly output: Output;
  readonly confidence: number | undefined;
  readonly goto: string | undefined;
  readonly choose: Choice[] | undefined;
  readonly review: Review | undefined;
}

/** One attempt at one node. Made without members it is a first attempt, for tests. */
export class Call {
  constructor(members?: Partial<Omit<Call, 'random'>>);
  /** The input as JSON text; `run` has it as a value. */
  readonly inputJson: string;
  readonly runId: string;
  /** The conversation or case that several runs share, if the run has one. */
  readonly threadId: string | undefined;
  /** The person on whose behalf the run goes on, if known. */
  readonly userId: string | undefined;
  readonly workflow: string;
  /** Path of the node, with visits: `fan@1/law@1`. */
  readonly node: string;
  /** How often the run has come to this node, this time included. */
  readonly visit: number;
  /** Which attempt of this visit this is, from 1. */
  readonly attempt: number;
  /** The attempt after which the host gives up. */
  readonly attemptsMax: number;
  /** The same for every attempt that might repeat one effect. */
  readonly idempotencyKey: string;
  readonly startedAt: string;
  /** How long the attempt may take, from `startedAt`. */
  readonly timeoutMs: number;
  /** For `random`. */
  readonly seed: number;
  /** What later hosts add, as JSON text of an object. */
  readonly contextJson: string;
  /** A generator of numbers from 0 to below 1: others in every attempt, the same when it is replayed. `Math.random` is one. */
  random(): () => number;
}

export type Run<Input, Output extends object> = (input: Input, call: Call) => Output | Reply<Output>;

export interface Agent<Output extends object = object> {
  /** The whole way from JSON: what is not a `Call` is an input, for tests. */
  answer(call: unknown): Reply<Output>;
}

/** Makes an agent, which the author's file exports as its default. `run` is not async: the host waits inside its functions. */
export function agent<Input, Output extends object>(
  definition: { input: shape.Shape<Input>; run: Run<Input, Output> },
): Agent<Output>;
export function agent<Output extends object>(run: Run<any, Output>): Agent<Output>;

/** Lines for the operator, kept with the attempt. Always allowed. `fields` is an object with details. `console` does the same. */
export const log: {
  write(level: 'trace' | 'debug' | 'info' | 'warn' | 'error', message: string, fields?: object): void;
  debug(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
  error(message: string, fields?: object): void;
};

/** What watchers see while the attempt runs; never part of its result. Always allowed. */
export const progress: {
  /** How far the work is, 0 to 1. */
  at(fraction: number, message: string): void;
  /** What is being done, when nobody knows how far it is. */
  doing(message: string): void;
  /** The next piece of a text that is being produced. */
  chunk(text: string): void;
};

/** An entry of the audit as the host keeps it. */
export interface Recorded {
  id: string;
  at: string;
  userId?: string;
  threadId?: string;
  /** The node that appended it. */
  source: string;
  /** What was done, in kebab-case. */
  action: string;
  payload: any;
  tags: string[];
}

/** One thing known. */
export interface Fact {
  text: string;
  /** `note`, `preference`, or the agent's own word. */
  kind: string;
  tags: string[];
  /** Whom it is about; in `put`, none means this call's user. */
  userId?: string;
  /** How much it matters, 0 to 1. */
  salience: number;
  /** How sure it is, 0 to 1. */
  confidence: number;
  /** Where it comes from. */
  source: string;
  /** Its meaning as a vector. Without one, only a search by words finds it. */
  embedding?: number[];
}

/** What to look for; all filters must hold, and an empty one filters nothing. */
export interface Query {
  /** Empty: the filters alone decide, newer facts first. */
  text?: string;
  /** `vector` and `hybrid` need `embedding`. */
  mode?: 'keyword' | 'vector' | 'hybrid';
  embedding?: number[];
  tags?: string[];
  kinds?: string[];
  userId?: string;
  threadId?: string;
  /** 10 if left out. */
  limit?: number;
}

export interface Hit {
  id: string;
  /** Higher is better; comparable within one answer only. */
  score: number;
  at: string;
  threadId?: string;
  fact: Fact;
}

/** The host's memory. Needs the grant `memory`, and `memory-audit`, `memory-facts` or `memory-slots` among the plugin's `uses`.
 * What the host refuses is thrown as a `HostError`. */
export const memory: {
  /** A record of what happened that only grows. */
  audit: {
    /** Gives the entry's id. */
    append(action: string, payload?: unknown, tags?: Iterable<string>): string;
    /** The latest entries of this call's thread (of its run, without a thread), oldest first. */
    snapshot(limit: number): Recorded[];
  };
  /** What is known, found again. */
  facts: {
    /** Keeps facts, all or none; gives their ids in the same order. What is left out is a note that matters and is sure by half. */
    put(...facts: (Pick<Fact, 'text'> & Partial<Fact>)[]): string[];
    /** The best hits, best first. A text alone is a search by words. */
    search(query: string | Query): Hit[];
    forget(id: string): void;
    /** Lets the host derive facts from an audit entry; gives their ids. */
    reflect(entryId: string): string[];
    /** Merges facts that say the same about the same user; how many went. */
    consolidate(): number;
  };
  /** Named places of the thread, one JSON value each. */
  slots: {
    /** Undefined where nothing was set. */
    get(name: string): any;
    /** Null empties the slot. */
    set(name: string, value: unknown): void;
    names(): string[];
  };
};

/** The model asks for a tool. The model wrote `args`, so they may not be what the tool's `parameters` ask for. */
export interface ToolCall { type: 'tool-call'; id: string; name: string; args: any }
export interface ToolResult { type: 'tool-result'; id: string; output: unknown; isError?: boolean }
export interface Image { type: 'image'; mediaType: string; data: Uint8Array }

/** One turn of the conversation; a text is words. */
export interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool';
  parts: (string | Image | ToolCall | ToolResult)[];
}

/** A tool that a model may ask for. */
export interface ToolSpec {
  /** Letters, digits, `_` and `-`. */
  name: string;
  description?: string;
  /** JSON Schema of the arguments, an object. */
  parameters?: any;
}

export interface RequestOptions {
  /** A name that the grant lists; left out, the first it lists. */
  model?: string;
  /** Calling them is the agent's work. */
  tools?: ToolSpec[];
  /** JSON Schema that the answer's text must match, once read as JSON. */
  schema?: unknown;
  /** 0 for the likeliest words. */
  temperature?: number;
  maxOutputTokens?: number;
}

export interface Response {
  /** JSON text where a schema was given. */
  text: string;
  toolCalls: ToolCall[];
  finish: 'stop' | 'tool-calls' | 'length' | 'filtered' | 'other';
  usage: { inputTokens: number; outputTokens: number; cachedTokens: number };
  /** The provider's name of the model that answered. */
  model: string;
}

/** A piece of an answer in the making. */
export type Event = { type: 'text'; text: string } | ToolCall | { type: 'done'; response: Response };

/** Language models, by the operator's names for them. Needs the grant `model`, and `model` among the plugin's `uses`. */
export const model: {
  system(text: string): Message;
  user(...parts: (string | Image)[]): Message;
  assistant(text: string): Message;
  /** What a tool gave: the answer to the call of that id. */
  tool(id: string, output: unknown, isError?: boolean): Message;
  /** An answer as a turn of the conversation, to be asked on with. */
  turn(response: Response): Message;
  /** Asks, and waits for the whole answer. A text is one message of the user. */
  chat(messages: string | Message[], options?: RequestOptions): Response;
  /** Asks, and gives the answer piece by piece. Leaving the loop early gives up the rest, which may be paid for all the same. */
  stream(messages: string | Message[], options?: RequestOptions): Generator<Event, void>;
  /** The meanings of texts as vectors, in the same order. */
  embed(texts: Iterable<string>, model?: string): number[][];
};

/** Tools that the operator granted. Needs the grant `tools`, and `tools` among the plugin's `uses`. */
export const tools: {
  /** Those that are granted, in the order of the grant. */
  granted(): Required<ToolSpec>[];
  /** Calls one with an object and waits for its output. One that fails is a `HostError` with its own code and message. */
  call(name: string, args?: object): any;
};

/** One HTTP request at a time. Needs the grant `http`, which lists origins, and `http` among the plugin's `uses`. No redirect is followed. */
export namespace http {
  /** Names and values; as a list, a Map or the like in that order. What is no text, number or boolean throws a TypeError. */
  type Headers = Record<string, Value> | Iterable<readonly [name: string, value: Value]>;
  type Value = string | number | bigint | boolean;

  interface Options {
    /** `{secret:NAME}` in a value stands for a secret that is granted; the host puts it there. */
    headers?: Headers | null | undefined;
    /** A text is sent in UTF-8; of JSON it is `JSON.stringify(..)`. */
    body?: string | Uint8Array | null | undefined;
    /** The longest time to the first byte, and between any two; left out or Infinity, the host's own. Below 0 or NaN: a RangeError. */
    timeoutMs?: number | null | undefined;
    /** The largest response body that is read, in bytes: 1 MiB if left out. Below 0 or NaN: a RangeError. */
    responseBytesMax?: number | null | undefined;
  }

  /** What is sent, as `fake.answerHttp` sees it. */
  interface Request {
    method: string;
    url: string;
    headers: [name: string, value: string][];
    body: Uint8Array | undefined;
    timeoutMs: number | undefined;
    responseBytesMax: number;
  }

  /** What came back, whatever its status. */
  class Response {
    constructor(members?: { status?: number; headers?: Headers; body?: string | Uint8Array });
    /** 100 to 599. */
    readonly status: number;
    /** Names in small letters and values, in the server's order. */
    readonly headers: [name: string, value: string][];
    /** The body, whole. */
    readonly body: Uint8Array;
    /** The value of the first header of that name. */
    header(name: string): string | undefined;
    /** The body as UTF-8. */
    text(): string;
    /** The body as JSON; what is none throws an HttpError with the code `response-not-json`. */
    json(): any;
  }

  /** Sends the request and waits for the whole response. A status is no error; without a response an `HttpError` is thrown. */
  function request(method: string, url: string, options?: Options): Response;
  function get(url: string, options?: Omit<Options, 'body'>): Response;
  function post(url: string, body: string | Uint8Array, options?: Omit<Options, 'body'>): Response;
}
