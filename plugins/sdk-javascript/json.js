// JSON text, of plain values only.

/** JSON text; undefined stays undefined. What is no JSON throws a TypeError. */
export function toJson(value) {
  const text = JSON.stringify(value, (_, each) => {
    if (typeof each === 'number' && !Number.isFinite(each)) throw new TypeError(`${each} is no JSON`);
    return each;
  });
  if (text === undefined && value !== undefined) throw new TypeError(`a ${typeof value} is no JSON`);
  return text;
}
