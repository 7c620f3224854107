// Tools that the operator granted.

import { host } from './host.js';
import { toJson } from './json.js';

export const granted = () => host.toolsList();
export const call = (name, args = {}) => host.toolsCall(name, toJson(args));
