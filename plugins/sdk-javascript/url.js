// URLs, taken apart.

import { HttpError } from './failure.js';
import { isWellFormed, wellFormed } from './utf8.js';

/** Scheme, authority and path of a URL, as far as a request needs them. Which hosts are good ones is the host's to say. */
export function takeApart(url) {
  const whole = String(url);
  const wrong = (what) => new HttpError('url-invalid', `\`${wellFormed(whole)}\` is no URL to call: ${what}`);
  const [, scheme, rest] = /^(.*?):\/\/(.*)$/s.exec(whole) ?? [];
  if (rest === undefined) throw wrong('it begins with `https://` or `http://`');
  if (!/^https?$/i.test(scheme)) throw wrong('only `https` and `http` can be called');
  if (/[\p{White_Space}\p{Cc}\\]/u.test(whole)) throw wrong('it holds spaces, control characters or backslashes; encode them');
  if (!isWellFormed(whole)) throw wrong('it holds half of a character');
  const [, authority, path] = /^([^/?#]*)([^#]*)/.exec(rest);
  if (authority === '') throw wrong('it names no host');
  if (authority.includes('@')) throw wrong('a name and a password belong into a header');
  return { isHttps: scheme.toLowerCase() === 'https', authority, pathAndQuery: path.startsWith('/') ? path : `/${path}` };
}
