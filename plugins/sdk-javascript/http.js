// One HTTP request at a time. No redirect is followed and no connection is kept: whoever wants the next address asks for it. A secret
// is named by its placeholder, `{secret:NAME}`, in a header's value; the host puts the value there.

import { host } from './host.js';
import { takeApart } from './url.js';
import { bytes, text } from './utf8.js';

/** The largest response that is read when nobody says. Bytes. */
const RESPONSE_BYTES_MAX = 1 << 20;

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
    return JSON.parse(this.text());
  }
}

export function request(method, url, { headers = [], body, timeoutMs, responseBytesMax = RESPONSE_BYTES_MAX } = {}) {
  takeApart(url);
  return new Response(host.httpSend({
    method: method.toUpperCase(),
    url,
    headers: pairs(headers),
    body: body == null ? undefined : bytes(body),
    timeoutMs: timeoutMs ?? undefined,
    responseBytesMax,
  }));
}

export const get = (url, options) => request('GET', url, options);
export const post = (url, body, options) => request('POST', url, { ...options, body });

const pairs = (headers) => (Array.isArray(headers) ? headers : Object.entries(headers)).map(([name, value]) => [name, String(value)]);
