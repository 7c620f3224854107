// A request by way of `wasi:http`, on wasm only. What is a part of something is given back before it, as the host insists.

import { HttpError } from './failure.js';
import { takeApart } from './url.js';
import { bytes, text } from './utf8.js';

/** What is read or written in one call of the host. Bytes; streams of WASI take no more than 4096 at once to write. */
const READ_BYTES = 64 << 10;
const WRITE_BYTES = 4 << 10;

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'];

/** Errors of `wasi:http` after which the same request can end otherwise. */
const TRANSIENT = new Set([
  'dns-timeout', 'dns-error', 'destination-not-found', 'destination-unavailable', 'destination-ip-unroutable', 'connection-refused',
  'connection-terminated', 'connection-timeout', 'connection-read-timeout', 'connection-write-timeout', 'connection-limit-reached',
  'tls-protocol-error', 'tls-alert-received', 'http-response-incomplete', 'http-response-timeout', 'http-protocol-error',
  'internal-error',
]);

const fail = (code, message, isTransient = false) => {
  throw new HttpError(code, message, { isTransient });
};
const internal = (what) => () => fail('internal-error', what);

/** Throws an error of `wasi:http` by its own name. */
function noResponse({ tag }) {
  const code = tag.toLowerCase();
  fail(code, `no response: ${code.replaceAll('-', ' ')}`, TRANSIENT.has(code));
}

/** What a function of WASI gives, or what `otherwise` makes of its refusal. */
function ask(act, otherwise) {
  try {
    return act();
  } catch (error) {
    if (error === null || typeof error !== 'object' || !Object.hasOwn(error, 'payload')) throw error;
    return otherwise(error.payload);
  }
}

/** What `act` makes of a handle, which is then given back. */
function using(handle, act) {
  try {
    return act(handle);
  } finally {
    handle[Symbol.dispose]();
  }
}

/** What `act` gives; the handle, which is to go on to the host, is given back where that fails. */
function filling(handle, act) {
  try {
    return act();
  } catch (error) {
    handle?.[Symbol.dispose]();
    throw error;
  }
}

/** The same as `fake.js` has for tests, by the interfaces `types` and `outgoing-handler`. */
export function send({ types, handler }, request) {
  const outgoing = outgoingOf(types, request);
  const body = filling(outgoing, () => request.body && ask(() => outgoing.body(), internal('no body')));
  const future = filling(body, () => {
    const options = filling(outgoing, () => optionsOf(types, request.timeoutMs));
    return ask(() => handler.handle(outgoing, options), noResponse);
  });
  return using(future, () => {
    if (body) write(types, body, request.body);
    using(future.subscribe(), (ready) => ready.block());
    const given = future.get();
    if (given?.tag !== 'ok') internal('the response was taken already')();
    if (given.val.tag !== 'ok') noResponse(given.val.val);
    return using(given.val.val, (response) => read(types, response, request.responseBytesMax));
  });
}

function outgoingOf(types, request) {
  const { isHttps, authority, pathAndQuery } = takeApart(request.url);
  const wrong = (what) => () => fail('http-request-uri-invalid', `the request's ${what} is not valid`);
  const outgoing = new types.OutgoingRequest(fieldsOf(types, request));
  return filling(outgoing, () => {
    ask(() => outgoing.setMethod(method(request.method)), wrong('method'));
    ask(() => outgoing.setScheme({ tag: isHttps ? 'HTTPS' : 'HTTP' }), wrong('scheme'));
    ask(() => outgoing.setAuthority(authority), wrong('host'));
    ask(() => outgoing.setPathWithQuery(pathAndQuery), wrong('path'));
    return outgoing;
  });
}

function fieldsOf(types, { headers, body }) {
  const fields = new types.Fields();
  return filling(fields, () => {
    // Said here, once: without it the host would send the body in chunks, which some servers refuse.
    for (const [name, value] of headers.filter(([name]) => name.toLowerCase() !== 'content-length')) {
      ask(() => fields.append(name, bytes(value)), ({ tag }) => (
        fail('header-refused', `the header \`${name}\` cannot be sent: ${tag.replaceAll('-', ' ')}`)));
    }
    if (body) fields.set('content-length', [bytes(String(body.length))]);
    return fields;
  });
}

const method = (name) => (METHODS.includes(name) ? { tag: name.toLowerCase() } : { tag: 'other', val: name });

function optionsOf(types, timeoutMs) {
  if (timeoutMs === undefined) return undefined;
  const options = new types.RequestOptions();
  return filling(options, () => {
    for (const set of ['setConnectTimeout', 'setFirstByteTimeout', 'setBetweenBytesTimeout']) {
      ask(() => options[set](timeoutMs * 1_000_000), internal('the host takes no timeout'));
    }
    return options;
  });
}

/** The host reads the body while it is written. A server that answers before it has read everything is no error. */
function write(types, body, all) {
  const isWhole = using(ask(() => body.write(), internal('no stream to write to')), (stream) => {
    for (let at = 0; at < all.length; at += WRITE_BYTES) {
      const piece = all.slice(at, at + WRITE_BYTES);
      if (!ask(() => (stream.blockingWriteAndFlush(piece), true), brokenOff)) return false;
    }
    return true;
  });
  if (isWhole) ask(() => types.OutgoingBody.finish(body, undefined), () => undefined);
  else body[Symbol.dispose]();
}

/** Gives back what says why a body broke off. */
function brokenOff({ val: cause }) {
  cause?.[Symbol.dispose]();
  return false;
}

function read(types, response, bytesMax) {
  const headers = using(response.headers(), (fields) => fields.entries().map(([name, value]) => [name, text(value)]));
  const body = using(ask(() => response.consume(), internal('the body was taken already')), (incoming) => (
    using(ask(() => incoming.stream(), internal('no stream to read from')), (stream) => readAll(types, stream, bytesMax))));
  return { status: response.status(), headers, body };
}

function readAll(types, stream, bytesMax) {
  const pieces = [];
  let size = 0;
  for (let piece; (piece = ask(() => stream.blockingRead(READ_BYTES), (problem) => ended(types, problem))) !== undefined;) {
    pieces.push(piece);
    size += piece.length;
    if (size > bytesMax) fail('http-response-body-size', `the response is larger than ${bytesMax} bytes`);
  }
  return joined(pieces, size);
}

/** Undefined at the end of a body; throws where it broke off before. */
function ended(types, { tag, val: cause }) {
  if (tag === 'closed') return undefined;
  return using(cause, () => {
    const code = types.httpErrorCode(cause);
    if (code != null) noResponse(code);
    // The host knows more than it says here; its first line is what went wrong, the rest is where.
    const message = cause.toDebugString().split('\n', 1)[0];
    const isTooLarge = message.includes('size exceeds limit');
    return fail(isTooLarge ? 'http-response-body-size' : 'connection-terminated', message, !isTooLarge);
  });
}

function joined(pieces, size) {
  const all = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
