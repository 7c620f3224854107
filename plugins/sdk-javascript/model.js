// Language models, by the operator's names for them.

import { host } from './host.js';

export const system = (text) => ({ role: 'system', parts: [text] });
export const user = (...parts) => ({ role: 'user', parts });
export const assistant = (text) => ({ role: 'assistant', parts: [text] });
export const tool = (id, output, isError = false) => ({ role: 'tool', parts: [{ type: 'tool-result', id, output, isError }] });

/** The answer as a turn of the conversation. */
export const turn = ({ text, toolCalls }) => (
  { role: 'assistant', parts: [...(text || !toolCalls.length ? [text] : []), ...toolCalls] });

const conversation = (messages, options) => ({
  tools: [], ...options, messages: typeof messages === 'string' ? [user(messages)] : [...messages],
});

export const chat = (messages, options) => host.modelChat(conversation(messages, options));
export const stream = (messages, options) => host.modelStream(conversation(messages, options));
export const embed = (texts, name) => host.modelEmbed(name, [...texts]);
