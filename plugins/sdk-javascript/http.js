// One HTTP request at a time. No redirect is followed and no connection is kept: whoever wants the next address asks for it. A secret
// is named by its placeholder, `{secret:NAME}`, in a header's value; the host puts the value there.

import { HttpError } from './failure.js';
import { host } from './host.js';
import { takeApart } from './url.js';
import { bytes, isWellFormed, text } from './utf8.js';

/** The largest response that is read when nobody says. Bytes. */
const RESPONSE_BYTES_MAX = 1 << 20;

/** The longest time that the host has a number for: it counts nanoseconds in 64 bits. Milliseconds. */
const TIMEOUT_MS_MAX = 18_446_744_073_709;

/** What came back, whatever its status. */
export class Response {
  constructor({ status = 200, headers = [], body = '' } = {}) {
    this.status = status;
    this.headers = pairs(headers);
    this.body = bytes(body);
  }

  /** The value of the first header of that name. */
  header(name) {
    const wanted = name.toLowerCase();
    return this.headers.find(([known]) => known.toLowerCase() === wanted)?.[1];
  }

  text() {
    return text(this.body);
  }

  json() {
    const read = this.text();
    try {
      return JSON.parse(read);
    } catch (error) {
      throw new HttpError('response-not-json', `the response of status ${this.status} is not JSON: ${error.message}`);
    }
  }
}

/** Checks what it is given: what the bindings cannot bring to the host traps there, without a word of where. */
export function request(method, url, { headers, body, timeoutMs, responseBytesMax } = {}) {
  takeApart(url);
  return new Response(host.httpSend({
    method: checkedMethod(method),
    url: String(url),
    headers: pairs(headers ?? []),
    body: body == null ? undefined : bytes(body),
    timeoutMs: span(timeoutMs),
    responseBytesMax: notNegative('responseBytesMax', responseBytesMax ?? RESPONSE_BYTES_MAX),
  }));
}

export const get = (url, options) => request('GET', url, options);
export const post = (url, body, options) => request('POST', url, { ...options, body });

function checkedMethod(method) {
  if (typeof method !== 'string') throw new TypeError(`a method is a text such as GET, not ${kind(method)}`);
  if (!isWellFormed(method)) throw new HttpError('http-request-uri-invalid', 'the request\'s method is not valid');
  return method.toUpperCase();
}

/** Whole milliseconds; undefined where there is no end. */
function span(timeoutMs) {
  if (timeoutMs == null || timeoutMs === Infinity) return undefined;
  return Math.ceil(Math.min(notNegative('timeoutMs', timeoutMs), TIMEOUT_MS_MAX));
}

function notNegative(name, value) {
  if (typeof value !== 'number') throw new TypeError(`\`${name}\` is a number, not ${kind(value)}`);
  if (!(value >= 0)) throw new RangeError(`\`${name}\` is 0 or more, not ${value}`);
  return value;
}

/** Of an object, a list of pairs, or whatever else gives pairs: a Map, say. */
function pairs(headers) {
  if (typeof headers !== 'object') throw new TypeError(`headers are an object or a list of pairs, not ${kind(headers)}`);
  return Array.from(typeof headers[Symbol.iterator] === 'function' ? headers : Object.entries(headers), header);
}

function header([name, value]) {
  if (typeof name !== 'string') throw new TypeError(`a header's name is a text, not ${kind(name)}`);
  if (!['string', 'number', 'bigint', 'boolean'].includes(typeof value)) {
    throw new TypeError(`the value of the header \`${name}\` is a text, not ${kind(value)}`);
  }
  if (!isWellFormed(name) || !isWellFormed(String(value))) {
    throw new HttpError('header-refused', `the header ${JSON.stringify(name)} cannot be sent: half of a character`);
  }
  return [name, String(value)];
}

function kind(value) {
  return value === null ? 'null' : typeof value;
}
