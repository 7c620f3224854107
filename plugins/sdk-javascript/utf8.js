// Text in UTF-8, which QuickJS has nothing for. What is no character becomes U+FFFD.

export function bytes(body) {
  if (body instanceof Uint8Array) return body;
  if (typeof body !== 'string') throw new TypeError('a body is a text or a Uint8Array; of JSON it is JSON.stringify(..)');
  const escaped = encodeURIComponent(body.replace(/\p{Cs}/gu, '\ufffd'));
  return Uint8Array.from(escaped.match(/%..|[^%]/gs) ?? [], (each) => (
    each.length === 1 ? each.charCodeAt(0) : parseInt(each.slice(1), 16)));
}

/** How many bytes follow the first one of a character, and the smallest character that needs so many. */
function following(first) {
  if (first >= 0xc2 && first <= 0xdf) return [1, 0x80];
  if (first >= 0xe0 && first <= 0xef) return [2, 0x800];
  if (first >= 0xf0 && first <= 0xf4) return [3, 0x10000];
  return [0, 0];
}

export function text(from) {
  const pieces = [];
  let units = [];
  for (let at = 0; at < from.length;) {
    const first = from[at++];
    let point = first;
    if (first >= 0x80) {
      const [count, least] = following(first);
      point = count === 0 ? -1 : first & (0x3f >> count);
      for (let left = count; left > 0 && point >= 0; left--) {
        point = (from[at] & 0xc0) === 0x80 ? (point << 6) | (from[at++] & 0x3f) : -1;
      }
      if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) point = 0xfffd;
    }
    units.push(point);
    if (units.length === 4096 || at === from.length) {
      pieces.push(String.fromCodePoint(...units));
      units = [];
    }
  }
  return pieces.join('');
}
