// The agent under node: `npm install && npm test`; rolldown takes the types off.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import * as fake from 'bandstand/fake';

import stats from './agent.ts';

beforeEach(fake.reset);

test('it counts', () => {
  const { output } = stats.answer({ text: 'One two. Two!' });
  assert.deepEqual([output.words, output.sentences, output.words_per_sentence], [3, 2, 1.5]);
  assert.deepEqual(output.frequent[0], { word: 'two', count: 2 });
  assert.deepEqual(fake.logged(), ['info counted {"words":3}']);
});

test('it fails as asked', () => {
  assert.throws(() => stats.answer({ text: ' - ' }), { kind: 'permanent', code: 'text-empty' });
  assert.throws(() => stats.answer({ text: '', fail: 'recoverable' }), { kind: 'recoverable', retryAfter: 1500 });
  assert.throws(() => stats.answer({ text: '', fail: 'crash' }), { name: 'Error', message: 'asked to crash' });
});

test('input that does not fit is permanent', () => {
  for (const input of [{}, { text: 1 }, { text: 'a', fail: 'x' }]) {
    assert.throws(() => stats.answer(input), { kind: 'permanent', code: 'input-invalid' });
  }
});
