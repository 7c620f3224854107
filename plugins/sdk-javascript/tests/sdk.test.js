// R8.5: the SDK under node, `npm test`.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { agent, Call, HostError, http, HttpError, log, memory, model, Permanent, progress, Reply, shape, tools } from 'bandstand';
import * as fake from 'bandstand/fake';
import { node } from 'bandstand/wasm';

import { connect } from '../host.js';
import { takeApart } from '../url.js';
import { bytes, text } from '../utf8.js';
import { send } from '../wasm_http.js';

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
  const page = new http.Response({ status: 502, body: '<html>' });
  assert.throws(() => page.json(), (error) => error instanceof HttpError && error.code === 'response-not-json' && /of status 502/.test(error.message));
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
    ['a/b://c', /only `https`/],
    ['https://a.example/\ud800', /half of a character/],
  ]) assert.throws(() => http.get(url), { code: 'url-invalid', message: part });
});

// As in Rust and Python: what Unicode calls white space.
test('spaces in a url are those of unicode', () => {
  const refused = [];
  for (let unit = 0; unit < 0xd800; unit++) {
    try {
      takeApart(`https://a.example/${String.fromCharCode(unit)}`);
    } catch {
      refused.push(unit);
    }
  }
  const between = (first, last) => Array.from({ length: last - first + 1 }, (_, at) => first + at);
  assert.deepEqual(refused, [
    ...between(0, 0x20), 0x5c, ...between(0x7f, 0xa0), 0x1680, ...between(0x2000, 0x200a), 0x2028, 0x2029, 0x202f, 0x205f, 0x3000,
  ]);
  assert.equal(takeApart('https://a.example/\ufeff').pathAndQuery, '/\ufeff');
});

/** The interfaces of WASI that a request needs. All that is taken of them is in `open`; what they cannot be called with, a trap in the
 * sandbox, fails an assertion. At `refused` they refuse. */
function wasi(refused) {
  const open = new Set();
  const given = (handle) => handle === undefined || assert.ok(open.delete(handle), 'no handle any more');
  const refusing = (what, tag = 'forbidden', val = undefined) => {
    if (what === refused) throw Object.assign(new Error(what), { payload: { tag, val: val?.() } });
  };
  const span = (nanos) => assert.ok(Number.isInteger(nanos) && nanos >= 0 && nanos < 2 ** 64, `${nanos} is no u64`);
  const wellFormed = (each) => assert.ok(each.isWellFormed());
  class Handle {
    constructor() {
      open.add(this);
    }

    [Symbol.dispose]() {
      given(this);
    }
  }
  class Fields extends Handle {
    append(name, value) {
      wellFormed(name);
      assert.ok(value instanceof Uint8Array);
      refusing('header');
    }

    set() {}

    entries() {
      return [['x', bytes('y')]];
    }
  }
  class OutgoingBody extends Handle {
    static finish(body) {
      given(body);
    }

    write() {
      return Object.assign(new Handle(), {
        blockingWriteAndFlush: () => refusing('write', 'last-operation-failed', () => new Handle()),
      });
    }
  }
  class OutgoingRequest extends Handle {
    constructor(fields) {
      super();
      given(fields);
    }

    setMethod({ val = '' }) {
      wellFormed(val);
      refusing('method');
    }

    setScheme() {}

    setAuthority(authority) {
      wellFormed(authority);
      refusing('host');
    }

    setPathWithQuery(path) {
      wellFormed(path);
    }

    body() {
      refusing('body');
      return new OutgoingBody();
    }
  }
  class RequestOptions extends Handle {
    setConnectTimeout(nanos) {
      span(nanos);
      refusing('timeout');
    }

    setFirstByteTimeout(nanos) {
      span(nanos);
    }

    setBetweenBytesTimeout(nanos) {
      span(nanos);
    }
  }
  const stream = () => Object.assign(new Handle(), {
    blockingRead() {
      refusing('read', 'last-operation-failed', () => Object.assign(new Handle(), { toDebugString: () => 'reset\nat ..' }));
      throw Object.assign(new Error('end'), { payload: { tag: 'closed' } });
    },
  });
  const response = () => Object.assign(new Handle(), {
    headers: () => new Fields(), status: () => 200, consume: () => Object.assign(new Handle(), { stream }),
  });
  const future = () => Object.assign(new Handle(), {
    subscribe: () => Object.assign(new Handle(), { block() {} }),
    get: () => ({ tag: 'ok', val: refused === 'response' ? { tag: 'err', val: { tag: 'dns-timeout' } } : { tag: 'ok', val: response() } }),
  });
  const handle = (outgoing, options) => {
    given(outgoing);
    given(options);
    refusing('handle', 'HTTP-request-denied');
    return future();
  };
  return { open, types: { Fields, OutgoingBody, OutgoingRequest, RequestOptions, httpErrorCode: () => undefined }, handler: { handle } };
}

// R7.2
test('whatever is refused, all is given back to the host', () => {
  for (const [refused, code] of [
    ['header', 'header-refused'],
    ['method', 'http-request-uri-invalid'],
    ['host', 'http-request-uri-invalid'],
    ['body', 'internal-error'],
    ['timeout', 'internal-error'],
    ['handle', 'http-request-denied'],
    ['response', 'dns-timeout'],
    ['read', 'connection-terminated'],
    ['write', undefined],
    ['nothing', undefined],
  ]) {
    const given = wasi(refused);
    fake.answerHttp((request) => send(given, request));
    const ask = () => http.post('https://a.example', 'x', { headers: { a: 'b' }, timeoutMs: 1 });
    if (code) assert.throws(ask, { name: 'HttpError', code }, refused);
    else assert.equal(ask().header('x'), 'y');
    assert.equal(given.open.size, 0, refused);
  }
});

// R7.2: what cannot cross to the host is an error at the author's line, since it would be a trap there.
test('a request is checked before it goes to the host', () => {
  const sent = [];
  fake.answerHttp((request) => {
    sent.push(request);
    return send(wasi(), request);
  });
  const ask = (options) => {
    http.post('https://a.example', 'x', options);
    return sent.at(-1);
  };
  for (const [timeoutMs, expected] of [
    [Infinity, undefined], [null, undefined], [undefined, undefined], [0, 0], [0.2, 1], [1500.0000001, 1501], [2e13, 18_446_744_073_709],
  ]) assert.equal(ask({ timeoutMs }).timeoutMs, expected);
  for (const [responseBytesMax, expected] of [[null, 1 << 20], [undefined, 1 << 20], [Infinity, Infinity], [0, 0]]) {
    assert.equal(ask({ responseBytesMax }).responseBytesMax, expected);
  }
  for (const name of ['timeoutMs', 'responseBytesMax']) {
    for (const wrong of [-1, NaN, -Infinity]) {
      assert.throws(() => ask({ [name]: wrong }), { name: 'RangeError', message: `\`${name}\` is 0 or more, not ${wrong}` });
    }
    for (const wrong of ['5', 5n, {}]) assert.throws(() => ask({ [name]: wrong }), { name: 'TypeError', message: /is a number, not/ });
  }
  for (const headers of [{ a: 'b', c: 1 }, [['a', 'b'], ['c', 1]], new Map([['a', 'b'], ['c', 1]]), new Headers({ a: 'b', c: 1 })]) {
    assert.deepEqual(ask({ headers }).headers, [['a', 'b'], ['c', '1']]);
  }
  assert.deepEqual(ask({ headers: null }).headers, []);
  for (const headers of [{ a: undefined }, { a: null }, { a: ['b'] }, [[null, 'b']], ['ab', 5], 'ab', 5]) {
    assert.throws(() => ask({ headers }), TypeError);
  }
  assert.throws(() => ask({ headers: { a: undefined } }), { message: 'the value of the header `a` is a text, not undefined' });
  for (const headers of [{ 'a\ud800': 'b' }, { a: '\udc00b' }]) assert.throws(() => ask({ headers }), { code: 'header-refused' });
  assert.throws(() => http.request('\ud800', 'https://a.example'), { code: 'http-request-uri-invalid' });
  assert.throws(() => http.request(undefined, 'https://a.example'), TypeError);
  // The message goes to the host where nobody catches the error.
  assert.throws(() => http.get('https://a.example/\ud800'), ({ code, message }) => code === 'url-invalid' && message.isWellFormed());
  assert.throws(() => http.post('https://a.example', new ArrayBuffer(3)), TypeError);
});

// R8.5
test('half of a character is no trap', () => {
  const said = [];
  const take = (...given) => said.push(...given);
  const before = globalThis.console;
  const run = (act) => {
    try {
      const made = node(agent(act), { log: { write: take, lastWords: (text) => take(text) }, progress: { chunk: take, report: take } });
      return made.run({ input: '{}', context: '{}' });
    } finally {
      connect(fake.host);
      globalThis.console = before;
    }
  };
  run(() => {
    log.info('a\ud800');
    console.log('b\ud800');
    progress.chunk('c\ud800');
    progress.doing('d\ud800');
    return {};
  });
  assert.throws(() => run(() => { throw new Error('e\ud800'); }), { message: 'e\ud800' });
  const texts = said.filter((each) => /\ufffd/.test(each));
  assert.deepEqual(texts, ['a\ufffd', 'b\ufffd', 'c\ufffd', 'd\ufffd', 'Error: e\ufffd']);
  assert.throws(() => run(() => { throw new Permanent('f\ud800', 'g\ud800'); }), { code: 'f\ufffd', message: 'g\ufffd' });
  // No interface was given, so none can be called, and no other attempt would find one.
  for (const call of [() => memory.slots.get('a'), () => model.chat('a'), () => http.get('https://a.example')]) {
    assert.throws(() => run(call), { kind: 'permanent', code: 'interface-missing' });
  }
});

test('text and bytes are those of TextEncoder and TextDecoder', () => {
  const [encoder, decoder] = [new TextEncoder(), new TextDecoder('utf-8', { ignoreBOM: true })];
  const random = new Call({ seed: 7 }).random();
  const pick = (from, length) => Array.from({ length }, () => from[Math.floor(random() * from.length)]);
  const edges = [0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff];
  const units = [0x41, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000, 0xffff];
  const same = (raw, shown) => {
    assert.equal(text(raw), decoder.decode(raw), Buffer.from(raw).toString('hex'));
    assert.deepEqual(bytes(shown), encoder.encode(shown), JSON.stringify(shown));
  };
  for (let round = 0; round < 20_000; round++) {
    same(Uint8Array.from(pick(edges, 1 + round % 7)), String.fromCharCode(...pick(units, 1 + round % 5)));
  }
  // Longer than one piece, and broken at its end.
  for (const length of [4095, 4096, 4097, 9000]) {
    same(Uint8Array.from(pick(edges, length)), String.fromCharCode(...pick(units, length)));
    const shown = `${'a'.repeat(length)}\u20ac\u{1f600}${'b'.repeat(length)}`;
    same(encoder.encode(shown), shown);
  }
  same(new Uint8Array(0), '');
});

test('bytes that are no text stay visible', () => {
  const shown = (...bytes) => new http.Response({ body: new Uint8Array(bytes) }).text();
  assert.deepEqual([shown(0x61, 0xff, 0x62), shown(0xe2, 0x82), shown(0xc0, 0x80), shown(0xed, 0xa0, 0x80)].map((text) => (
    text.includes('\ufffd'))), [true, true, true, true]);
  assert.equal(shown(0xe2, 0x82, 0xac, 0x24), '\u20ac$');
});
