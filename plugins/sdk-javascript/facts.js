// What is known, found again by words, meaning, tags, kind, user or thread.

import { host } from './host.js';

export const put = (...facts) => host.factsPut(facts.map((fact) => ({
  kind: 'note', tags: [], salience: 0.5, confidence: 0.5, source: '', ...fact,
})));
export const search = (query) => host.factsSearch({
  text: '', mode: 'keyword', tags: [], kinds: [], limit: 10, ...(typeof query === 'string' ? { text: query } : query),
});
export const forget = (id) => host.factsForget(id);
export const reflect = (entryId) => host.factsReflect(entryId);
export const consolidate = () => host.factsConsolidate();
