// R8.5: the SDK under node, `npm test`.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { agent, Call, HostError, http, HttpError, log, memory, model, progress, Reply, shape, tools } from 'bandstand';
import * as fake from 'bandstand/fake';

import { takeApart } from '../url.js';

beforeEach(fake.reset);

const Order = shape.object({
  parts: shape.list(shape.object({ name: shape.string, size: shape.optional(shape.number) })),
  paid: shape.boolean,
  kind: shape.optional(shape.oneOf('a', 'b')),
  notes: shape.optional(shape.record(shape.integer)),
});

test('json becomes what is declared, and a misfit says where', () => {
  assert.deepEqual(Order({ parts: [{ name: 'x', size: 2 }], paid: true, more: 0 }, ''), {
    parts: [{ name: 'x', size: 2 }], paid: true, kind: undefined, notes: undefined,
  });
  for (const [value, message] of [
    [{ paid: true }, '`parts` is missing'],
    [{ parts: [{ name: 1 }], paid: true }, '/parts/0/name: expected text, found 1'],
    [{ parts: [], paid: 1 }, '/paid: expected true or false, found 1'],
    [{ parts: [], paid: true, kind: 'c' }, '/kind: expected "a" or "b", found "c"'],
    [{ parts: [], paid: true, notes: { n: 1.5 } }, '/notes/n: expected a whole number, found 1.5'],
    [[], 'expected an object, found a list'],
  ]) assert.throws(() => Order(value, ''), { name: 'Misfit', message });
});

test('the call is given, and random numbers follow from its seed', () => {
  const made = agent((input, call) => ({ input, attempt: call.attempt, random: call.random()() }));
  const call = new Call({ inputJson: '{"a":1}', attempt: 2 });
  const { output } = made.answer(call);
  assert.deepEqual([output.input, output.attempt], [{ a: 1 }, 2]);
  assert.deepEqual(output, made.answer(call).output);
  assert.notEqual(output.random, made.answer(new Call({ seed: 2 })).output.random);
  assert.throws(() => agent(async () => ({})).answer({}), /must not be async/);
});

test('only objects are outputs, and a reply goes one way', () => {
  for (const output of [[1], 'text', undefined, { a: NaN }, { a: 1n }, () => 1]) {
    assert.throws(() => new Reply(output).outputJson(), { kind: 'permanent', code: 'output-invalid' });
  }
  assert.throws(() => new Reply({}, { goto: 'a', review: { title: 't', reason: 'r' } }), TypeError);
  assert.deepEqual(new Reply({}, { choose: { a: 2, b: -1 } }).choose, [{ name: 'a', confidence: 1 }, { name: 'b', confidence: 0 }]);
  assert.equal(new Reply({}, { confidence: NaN }).confidence, 0);
});

test('lines and signs', () => {
  log.warn('careful', { at: 3 });
  progress.at(0.5, 'half');
  progress.doing('more');
  progress.chunk('word ');
  assert.deepEqual(fake.logged(), ['warn careful {"at":3}']);
  assert.deepEqual(fake.shown(), ['0.50 half', 'more', 'word ']);
});

test('memory', () => {
  fake.speakFor('t', 'u');
  const id = memory.audit.append('clause-flagged', { clause: 7 }, ['risk']);
  assert.equal(memory.audit.snapshot(10)[0].id, id);
  memory.facts.put({ text: 'Bees make honey', tags: ['bee'] }, { text: 'bees make HONEY' }, { text: 'Ants do not' });
  const [hit] = memory.facts.search({ text: 'honey', tags: ['bee'] });
  assert.deepEqual([hit.fact.text, hit.fact.userId], ['Bees make honey', 'u']);
  assert.equal(memory.facts.consolidate(), 1);
  assert.equal(memory.facts.reflect(id).length, 1);
  memory.slots.set('persona', { tone: 'dry' });
  assert.deepEqual([memory.slots.get('persona'), memory.slots.names()], [{ tone: 'dry' }, ['persona']]);
  memory.slots.set('persona', null);
  assert.equal(memory.slots.get('persona'), undefined);
  assert.throws(() => memory.facts.forget('fact-99'), (error) => error.failure().kind === 'permanent');
  fake.denyMemory();
  assert.throws(() => memory.slots.get('persona'), { kind: 'denied' });
});

test('models and tools', () => {
  fake.tool('price', ({ item }) => ({ of: item, price: 42 }));
  fake.answerWith(
    { toolCalls: [{ type: 'tool-call', id: '1', name: 'price', args: { item: 'lamp' } }] },
    'It costs 42.',
    new HostError('unavailable', 'busy', 'later', { retryAfter: 10 }),
  );
  const talk = [model.system('Be brief.'), model.user('What does a lamp cost?')];
  const response = model.chat(talk, { tools: tools.granted(), model: 'small' });
  talk.push(model.turn(response));
  for (const call of response.toolCalls) talk.push(model.tool(call.id, tools.call(call.name, call.args)));
  const events = [...model.stream(talk)];
  const words = events.filter((event) => event.type === 'text').map((event) => event.text).join('');
  assert.equal(words, events.at(-1).response.text);
  assert.deepEqual(fake.asked().map((each) => each.messages.length), [2, 4]);
  assert.throws(() => model.chat('again'), (error) => error.failure().retryAfter === 10);
  assert.notDeepEqual(...model.embed(['a', 'b']));
});

// R7.2
test('http', () => {
  const sent = [];
  fake.answerHttp((request) => {
    sent.push(request);
    return { status: 503, headers: [['Retry-After', '1']], body: '{"why":"busy \u00e9\u{1f600}"}' };
  });
  const response = http.request('post', 'https://a.example/x?y=1#z', {
    headers: { authorization: 'Bearer {secret:KEY}' }, body: 'caf\u00e9', timeoutMs: 500,
  });
  assert.deepEqual([response.status, response.header('retry-after'), response.json()], [503, '1', { why: 'busy \u00e9\u{1f600}' }]);
  assert.deepEqual(sent, [{
    method: 'POST',
    url: 'https://a.example/x?y=1#z',
    headers: [['authorization', 'Bearer {secret:KEY}']],
    body: new Uint8Array([99, 97, 102, 0xc3, 0xa9]),
    timeoutMs: 500,
    responseBytesMax: 1 << 20,
  }]);
  assert.equal(http.get('https://a.example').text(), '{"why":"busy \u00e9\u{1f600}"}');
  fake.reset();
  assert.throws(() => http.get('https://a.example'), { code: 'http-request-denied', isTransient: false });
  assert.equal(new HttpError('connection-refused', 'no', { isTransient: true }).failure().kind, 'recoverable');
  assert.equal(new HttpError('http-request-denied', 'no').failure().kind, 'permanent');
});

test('a url is taken apart', () => {
  for (const [url, ...expected] of [
    ['https://a.example', true, 'a.example', '/'],
    ['HTTP://a.example:8080/b?c=d#e', false, 'a.example:8080', '/b?c=d'],
    ['https://a.example?q=//x', true, 'a.example', '/?q=//x'],
    ['https://a.example/@b', true, 'a.example', '/@b'],
    ['http://[::1]:81/x', false, '[::1]:81', '/x'],
  ]) assert.deepEqual(Object.values(takeApart(url)), expected, url);
  for (const [url, part] of [
    ['a.example', /begins with/],
    ['ftp://a.example', /only `https`/],
    ['https:///x', /no host/],
    ['https://me:word@a.example', /into a header/],
    ['https://a.example/a b', /encode/],
    ['https://a.example\\@b.example', /backslashes/],
  ]) assert.throws(() => http.get(url), { code: 'url-invalid', message: part });
});

test('bytes that are no text stay visible', () => {
  const shown = (...bytes) => new http.Response({ body: new Uint8Array(bytes) }).text();
  assert.deepEqual([shown(0x61, 0xff, 0x62), shown(0xe2, 0x82), shown(0xc0, 0x80), shown(0xed, 0xa0, 0x80)].map((text) => (
    text.includes('\ufffd'))), [true, true, true, true]);
  assert.equal(shown(0xe2, 0x82, 0xac, 0x24), '\u20ac$');
});
