// Text in UTF-8, which QuickJS has nothing for. What is no character becomes U+FFFD. Its engine takes tens of bytes for each small text
// or list, so that none is made for each character.

/** How much text is made in one call: an engine's stack takes so many arguments. */
const PIECE = 4096;

/** Whether no half of a character stands alone in a text. */
export const isWellFormed = (from) => !/\p{Cs}/u.test(from);
export const wellFormed = (from) => from.replace(/\p{Cs}/gu, '\ufffd');

export function bytes(body) {
  if (body instanceof Uint8Array) return body;
  if (typeof body !== 'string') throw new TypeError('a body is a text or a Uint8Array; of JSON it is JSON.stringify(..)');
  const all = new Uint8Array(sizeOf(body));
  let end = 0;
  for (let at = 0; at < body.length; at++) {
    let point = body.charCodeAt(at);
    if (point < 0x80) {
      all[end++] = point;
      continue;
    }
    if (point >= 0xd800 && point <= 0xdfff) {
      point = body.codePointAt(at);
      if (point > 0xffff) at++;
      else point = 0xfffd;
    }
    if (point < 0x800) {
      all[end++] = 0xc0 | (point >> 6);
    } else {
      if (point < 0x10000) {
        all[end++] = 0xe0 | (point >> 12);
      } else {
        all[end++] = 0xf0 | (point >> 18);
        all[end++] = 0x80 | ((point >> 12) & 0x3f);
      }
      all[end++] = 0x80 | ((point >> 6) & 0x3f);
    }
    all[end++] = 0x80 | (point & 0x3f);
  }
  return all;
}

/** How many bytes a text takes. */
function sizeOf(body) {
  let size = body.length;
  if (!/[^\0-\x7f]/.test(body)) return size;
  for (let at = 0; at < body.length; at++) {
    const unit = body.charCodeAt(at);
    if (unit < 0x80) continue;
    // Two halves of a character take four bytes together; one alone is U+FFFD.
    size += unit < 0x800 ? 1 : 2;
    if (unit >= 0xd800 && unit <= 0xdbff && body.codePointAt(at) > 0xffff) at++;
  }
  return size;
}

export function text(from) {
  const pieces = [];
  for (let at = 0; at < from.length;) {
    const piece = String.fromCharCode.apply(null, from.subarray(at, at + PIECE));
    if (/[^\0-\x7f]/.test(piece)) {
      at = decode(from, at, pieces);
    } else {
      pieces.push(piece);
      at += piece.length;
    }
  }
  return pieces.join('');
}

/** Adds a piece of text to `pieces`; gives where the next one begins. As `TextDecoder` does it, U+FFFD stands for as many bytes as could
 * have begun a character. */
function decode(from, start, pieces) {
  const points = [];
  let at = start;
  while (at < from.length && points.length < PIECE) {
    const first = from[at++];
    let left = first < 0xc2 || first > 0xf4 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    let point = left === 0 ? (first < 0x80 ? first : 0xfffd) : first & (0x3f >> left);
    // The second byte tells longer spellings than need be, halves of characters, and what is beyond the last one.
    let least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    let most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    for (; left > 0; left--) {
      if (!(from[at] >= least && from[at] <= most)) {
        point = 0xfffd;
        break;
      }
      point = (point << 6) | (from[at++] & 0x3f);
      least = 0x80;
      most = 0xbf;
    }
    points.push(point);
  }
  pieces.push(String.fromCodePoint(...points));
  return at;
}
