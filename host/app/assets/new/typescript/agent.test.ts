// The agent under node; the host is played by `bandstand/fake`.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import * as fake from 'bandstand/fake';

import agent from './agent.ts';

beforeEach(fake.reset);

test('it tells how long a text takes', () => {
  const { output } = agent.answer({ text: 'word '.repeat(201) });
  assert.deepEqual(output, { words: 201, minutes: 2 });
  assert.deepEqual(fake.logged(), ['info counted {"words":201}']);
});

test('a text without a word is refused', () => {
  assert.throws(() => agent.answer({ text: ' ' }), { kind: 'permanent', code: 'text-empty' });
});
