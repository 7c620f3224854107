// `powers`: asks the host for what its input names. What there is stands in `../README.md`.

import { agent, http, memory, model, Permanent, shape, tools } from 'bandstand';

const Input = shape.object({
  do: shape.string,
  name: shape.optional(shape.string),
  args: shape.optional(shape.any),
  url: shape.optional(shape.string),
  method: shape.optional(shape.string),
  body: shape.optional(shape.string),
  limit: shape.optional(shape.integer),
});

export default agent({ input: Input, run });

function run(input) {
  switch (input.do) {
    case 'nothing': return {};
    case 'slot': {
      memory.slots.set('persona', { tone: 'dry' });
      const kept = memory.slots.get('persona');
      memory.slots.set('persona', null);
      return { kept, emptied: memory.slots.get('persona') === undefined };
    }
    case 'slot-names':
      memory.slots.set('b', 1);
      memory.slots.set('a', 'one');
      return { names: memory.slots.names() };
    case 'facts':
      memory.facts.put({ text: 'Bees make honey' }, { text: 'Ants do not' });
      return { found: memory.facts.search({ text: 'honey', limit: 5 }).map((hit) => hit.fact.text) };
    case 'audit':
      memory.audit.append('noted', { n: 1 });
      return { appended: true };
    case 'audit-read': {
      memory.audit.append('flagged', { clause: 7 }, ['risk']);
      return { last: memory.audit.snapshot(1).map(({ action, payload, tags }) => ({ action, payload, tags }))[0] };
    }
    case 'model':
      return { text: model.chat([model.system('Be brief.'), model.user('Greet me.')], { model: 'small' }).text };
    case 'model-stream': return stream();
    case 'model-tools': return modelTools();
    case 'embed': return { vectors: model.embed(['a', 'b'], 'small') };
    case 'tool': return { gave: tools.call(input.name ?? '', input.args) };
    case 'tool-names': return { names: tools.granted().map((tool) => tool.name) };
    case 'http': {
      const headers = { 'x-asked-by': 'Bearer {secret:KEY}' };
      const options = { headers, body: input.body, timeoutMs: 5_000, responseBytesMax: input.limit };
      const response = http.request(input.method ?? 'GET', input.url, options);
      return { status: response.status, type: response.header('content-type'), text: response.text() };
    }
    default: throw new Permanent('not-covered', `there is no \`${input.do}\``);
  }
}

function stream() {
  let said = '';
  for (const event of model.stream('Go on.', { model: 'small' })) {
    if (event.type === 'text') said += event.text;
    else if (event.type === 'done') return { said, text: event.response.text };
  }
  throw new Error('an answer without an end');
}

function modelTools() {
  const talk = [model.user('Ask the tool.')];
  const options = { tools: tools.granted(), model: 'small' };
  const response = model.chat(talk, options);
  talk.push(model.turn(response));
  for (const asked of response.toolCalls) talk.push(model.tool(asked.id, tools.call(asked.name, asked.args)));
  return { text: model.chat(talk, options).text };
}
