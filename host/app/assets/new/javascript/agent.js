// Tells how long a text takes to read.

import { agent, log, Permanent, shape } from 'bandstand';

/** How fast people read. */
const WORDS_PER_MINUTE = 200;

export default agent({
  // What a workflow gives. An input of another form fails the attempt with `input-invalid`.
  input: shape.object({ text: shape.string }),

  // Not async: the host waits inside its functions, so there is nothing to await.
  run({ text }) {
    const words = text.match(/\S+/g)?.length ?? 0;
    if (words === 0) throw new Permanent('text-empty', '`text` holds no word');
    log.info('counted', { words });
    return { words, minutes: Math.ceil(words / WORDS_PER_MINUTE) };
  },
});
