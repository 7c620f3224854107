// Named places of the thread, one JSON value each.

import { host } from './host.js';
import { toJson } from './json.js';

export const get = (name) => host.slotsGet(name);
export const set = (name, value) => host.slotsSet(name, toJson(value ?? null));
export const names = () => host.slotsList();
