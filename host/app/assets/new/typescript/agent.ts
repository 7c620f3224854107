// Tells how long a text takes to read.

import { agent, log, Permanent, shape } from 'bandstand';

/** How fast people read. */
const WORDS_PER_MINUTE = 200;

/** What a workflow gives. An input of another form fails the attempt with `input-invalid`. */
const Input = shape.object({ text: shape.string });

/** What it gets. */
interface Output {
  words: number;
  minutes: number;
}

export default agent({ input: Input, run });

// Not async: the host waits inside its functions, so there is nothing to await.
function run({ text }: shape.Infer<typeof Input>): Output {
  const words = text.match(/\S+/g)?.length ?? 0;
  if (words === 0) throw new Permanent('text-empty', '`text` holds no word');
  log.info('counted', { words });
  return { words, minutes: Math.ceil(words / WORDS_PER_MINUTE) };
}
