// The border to the host, on wasm only: what turns the SDK's values into those of the bindings. The generated entry imports the
// interfaces of the plugin's world, and hands them and the author's agent to `node`.

import { Call, Failure, HostError, HttpError } from './bandstand.js';
import { connect } from './host.js';
import { toJson } from './json.js';
import { wellFormed } from './utf8.js';
import { send } from './wasm_http.js';

/** A text for people, as the bindings can bring it to the host: half of a character would be a trap there. */
const plain = (value) => wellFormed(String(value));

/** JSON of the host; what is none stays visible as text. */
function value(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The bindings give null for what is absent; JavaScript's own word is undefined. */
const present = (record) => Object.fromEntries(Object.entries(record).map(([name, each]) => [name, each ?? undefined]));

/** An interface that the plugin's world has. */
function given(interfaces, name) {
  const found = interfaces[name];
  if (found === undefined) {
    const message = `this plugin was built without \`${name}\`: add it to \`uses\` in plugin.toml and build again`;
    throw new HostError('not-found', 'interface-missing', message);
  }
  return found;
}

/** The functions of an interface, whose refusals are thrown as the SDK's own errors. */
function asking(interfaces, name) {
  return new Proxy({}, { get: (_, member) => (...args) => ask(() => given(interfaces, name)[member](...args)) });
}

function ask(act) {
  try {
    return act();
  } catch (error) {
    const told = error?.payload ?? error;
    if (told?.kind === undefined || told?.code === undefined) throw error;
    throw new HostError(told.kind, told.code, told.message, { retryAfter: told.retryAfterMs ?? undefined });
  }
}

function rawPart(part) {
  if (typeof part === 'string') return { tag: 'text', val: part };
  switch (part?.type) {
    case 'image': return { tag: 'image', val: { mediaType: part.mediaType, data: part.data } };
    case 'tool-call': return { tag: 'tool-call', val: { id: part.id, name: part.name, arguments: toJson(part.args) } };
    case 'tool-result':
      return { tag: 'tool-result', val: { id: part.id, output: toJson(part.output ?? null), isError: part.isError ?? false } };
    default: throw new TypeError(`a message is made of text, images, tool calls and tool results, not of ${part}`);
  }
}

const rawRequest = ({ messages, tools, schema, ...rest }) => ({
  ...rest,
  messages: messages.map(({ role, parts }) => ({ role, parts: parts.map(rawPart) })),
  tools: tools.map(({ name, description = '', parameters = { type: 'object' } }) => (
    { name, description, parameters: toJson(parameters) })),
  schema: toJson(schema),
});

const toolCall = ({ id, name, arguments: args }) => ({ type: 'tool-call', id, name, args: value(args) });
const response = (raw) => ({ ...raw, toolCalls: raw.toolCalls.map(toolCall) });

/** The members of `fake.js`'s `host`, of the real one. */
function connected(interfaces) {
  const audit = asking(interfaces, 'memory-audit');
  const facts = asking(interfaces, 'memory-facts');
  const slots = asking(interfaces, 'memory-slots');
  const model = asking(interfaces, 'model');
  const tools = asking(interfaces, 'tools');
  const { log, progress } = interfaces;
  return {
    logWrite: (level, message, fields) => log.write(level, plain(message), fields),
    progressChunk: (text) => progress.chunk(plain(text)),
    progressReport: (fraction, message) => progress.report(fraction, plain(message)),
    auditAppend: (action, payload, tags) => audit.append({ action, payload, tags }),
    auditSnapshot: (limit) => audit.snapshot(limit).map(({ entry, ...rest }) => (
      { ...present(rest), ...entry, payload: value(entry.payload) })),
    factsPut: (all) => facts.put(all),
    factsSearch: (query) => facts.search(query).map((hit) => ({ ...present(hit), fact: present(hit.fact) })),
    factsForget: (id) => facts.forget(id),
    factsReflect: (entryId) => facts.reflect(entryId),
    factsConsolidate: () => facts.consolidate(),
    slotsGet: (name) => {
      const text = slots.get(name);
      return text == null ? undefined : value(text);
    },
    slotsSet: (name, json) => slots.set(name, json),
    slotsList: () => slots.list(),
    modelChat: (request) => response(model.chat(rawRequest(request))),
    * modelStream(request) {
      const answer = model.chatStream(rawRequest(request));
      try {
        for (let event; (event = ask(() => answer.next())) != null;) {
          if (event.tag === 'text') yield { type: 'text', text: event.val };
          else if (event.tag === 'tool-call') yield toolCall(event.val);
          else yield { type: 'done', response: response(event.val) };
        }
      } finally {
        answer[Symbol.dispose]?.();
      }
    },
    modelEmbed: (name, texts) => model.embed(name, texts),
    toolsList: () => tools.list().map((tool) => ({ ...tool, parameters: value(tool.parameters) })),
    toolsCall: (name, json) => value(tools.call(name, json)),
    httpSend: (request) => send(given(interfaces, 'http'), request),
  };
}

function rawFailure({ kind, code, message, retryAfter, data }) {
  let text;
  try {
    text = toJson(data);
  } catch (error) {
    text = JSON.stringify(String(error)); // data that is no JSON becomes its error's text
  }
  return { kind, code: plain(code), message: plain(message), retryAfterMs: retryAfter, data: text };
}

function rawNext({ goto, choose, review }) {
  if (goto !== undefined) return { tag: 'goto', val: goto };
  if (choose !== undefined) return { tag: 'choose', val: choose };
  if (review === undefined) return { tag: 'edges' };
  const { title, reason, form, propose, timeoutMs, reviewers = [], quorum = 1 } = review;
  return { tag: 'review', val: { title, reason, form: toJson(form), propose: toJson(propose), timeoutMs, reviewers, quorum } };
}

/** `console` as lines of the log: QuickJS has none. */
function consoleOf(log) {
  const shown = (each) => {
    if (typeof each === 'string') return each;
    if (each instanceof Error) return `${each}\n${each.stack ?? ''}`.trimEnd();
    try {
      return JSON.stringify(each) ?? String(each);
    } catch {
      return String(each);
    }
  };
  const line = (level) => (...said) => log.write(level, plain(said.map(shown).join(' ')), '');
  return { debug: line('debug'), error: line('error'), info: line('info'), log: line('info'), trace: line('trace'), warn: line('warn') };
}

/** The exported interface. What is thrown and no failure is a crash: its text and stack become the attempt's last words, then it
 * goes on to the engine, which traps. It is never made a failure: whether a crash is tried again is the host's to say. */
export function node(agent, interfaces) {
  if (typeof agent?.answer !== 'function') throw new TypeError('the agent\'s file must say `export default agent({...})`');
  connect(connected(interfaces));
  globalThis.console = consoleOf(interfaces.log);
  return {
    run(raw) {
      const { input, context, ...rest } = present(raw);
      const call = new Call({ ...rest, inputJson: input, contextJson: context });
      // Else its state would be that of the build, the same in every attempt.
      Math.random = call.random();
      try {
        const reply = agent.answer(call);
        return { output: reply.outputJson(), confidence: reply.confidence, next: rawNext(reply) };
      } catch (error) {
        const failure = error instanceof HostError || error instanceof HttpError ? error.failure() : error;
        if (failure instanceof Failure) throw rawFailure(failure);
        interfaces.log.lastWords(plain(error), plain(error?.stack ?? ''));
        throw error;
      }
    },
  };
}
