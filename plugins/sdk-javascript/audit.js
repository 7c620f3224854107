// A record of what happened that only grows.

import { host } from './host.js';
import { toJson } from './json.js';

export const append = (action, payload = null, tags = []) => host.auditAppend(action, toJson(payload), [...tags]);
export const snapshot = (limit) => host.auditSnapshot(limit);
