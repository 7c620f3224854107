// The host's functions as tests see them under node. Call `reset` before each test.

import type { http, HostError, Message, RequestOptions, Response } from './bandstand.js';

/** Forgets everything. */
export function reset(): void;
/** Speaks from now on for calls of this thread and user. */
export function speakFor(threadId?: string, userId?: string): void;
/** Refuses all memory from now on, as a host without the grant. */
export function denyMemory(): void;
/** Answers the next calls of a model with these, in order. A text is a whole answer. */
export function answerWith(...answers: (string | Partial<Response> | HostError)[]): void;
/** Grants a tool that answers so. */
export function tool(name: string, answer: (args: any) => unknown): void;
/** Answers every HTTP request with what this gives. What it throws reaches the agent: an `HttpError`, say. */
export function answerHttp(answer: (request: http.Request) => ConstructorParameters<typeof http.Response>[0]): void;
/** What models were asked. */
export function asked(): (RequestOptions & { messages: Message[] })[];
/** What was logged: level, message and fields in a line each. */
export function logged(): string[];
/** What was shown as progress. */
export function shown(): string[];
