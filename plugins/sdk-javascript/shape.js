// What an agent's input looks like: shapes that check JSON and, in TypeScript, give its type. A shape is a function of a value
// and the JSON pointer where it stands; it returns the value or throws a `Misfit`. Members that an object's shape does not name
// are left out.

export class Misfit extends Error {
  constructor(at, message) {
    super(at ? `${at}: ${message}` : message);
    this.name = 'Misfit';
  }
}

function shown(value) {
  if (Array.isArray(value)) return 'a list';
  if (value !== null && typeof value === 'object') return 'an object';
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

function must(good, wanted, value, at) {
  if (!good) throw new Misfit(at, `expected ${wanted}, found ${shown(value)}`);
  return value;
}

const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

export const any = (value) => value;
export const string = (value, at) => must(typeof value === 'string', 'text', value, at);
export const number = (value, at) => must(typeof value === 'number', 'a number', value, at);
export const integer = (value, at) => must(Number.isInteger(value), 'a whole number', value, at);
export const boolean = (value, at) => must(typeof value === 'boolean', 'true or false', value, at);

/** One of these texts, numbers or booleans. */
export function oneOf(...options) {
  const wanted = options.map((option) => JSON.stringify(option)).join(' or ');
  return (value, at) => must(options.includes(value), wanted, value, at);
}

export function list(item) {
  return (value, at) => {
    must(Array.isArray(value), 'a list', value, at);
    return value.map((each, index) => item(each, `${at}/${index}`));
  };
}

/** An object whose members all have one shape. */
export function record(item) {
  return (value, at) => {
    must(isObject(value), 'an object', value, at);
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, item(each, `${at}/${name}`)]));
  };
}

export function object(members) {
  return (value, at) => {
    must(isObject(value), 'an object', value, at);
    const found = {};
    for (const [name, shape] of Object.entries(members)) {
      if (Object.hasOwn(value, name)) found[name] = shape(value[name], `${at}/${name}`);
      else if (shape.optional) found[name] = undefined;
      else throw new Misfit(at, `\`${name}\` is missing`);
    }
    return found;
  };
}

/** May be left out, or be null; then it is undefined. */
export function optional(shape) {
  const maybe = (value, at) => (value === null || value === undefined ? undefined : shape(value, at));
  maybe.optional = true;
  return maybe;
}
