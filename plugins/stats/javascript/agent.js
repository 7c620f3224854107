// `stats`: counts the words, sentences and paragraphs of a document. What it counts is laid down in `../README.md`.

import { agent, log, Permanent, Recoverable, shape } from 'bandstand';

const WORD = /[A-Za-z0-9]+(?:'[A-Za-z0-9]+)*/g;
const FREQUENT_MAX = 5;

export default agent({
  input: shape.object({
    text: shape.string,
    // Ends the call another way, so that hosts can be tried out.
    fail: shape.optional(shape.oneOf('recoverable', 'permanent', 'crash', 'spin', 'hoard')),
  }),

  run({ text, fail }) {
    switch (fail) {
      case 'recoverable': throw new Recoverable('try-later', 'asked to fail for now', { retryAfter: 1500 });
      case 'permanent': throw new Permanent('asked-to-fail', 'asked to fail for good');
      case 'crash': throw new Error('asked to crash');
      case 'spin': for (;;);
      case 'hoard': for (const hoard = [];;) hoard.push(new Uint8Array(1 << 20).fill(1));
    }
    const words = (text.match(WORD) ?? []).map((word) => word.toLowerCase());
    if (words.length === 0) throw new Permanent('text-empty', '`text` holds no word');
    const sentences = text.split(/[.!?]/).filter((piece) => piece.match(WORD)).length;
    log.info('counted', { words: words.length });
    return {
      characters: [...text].length,
      words: words.length,
      sentences,
      paragraphs: paragraphs(text),
      longest_word: words.reduce((longest, word) => (word.length > longest.length ? word : longest)),
      words_per_sentence: hundredths(words.length, sentences),
      frequent: frequent(words),
    };
  },
});

/** How many runs of lines there are that are not blank. */
function paragraphs(text) {
  const filled = text.split('\n').map((line) => /[^ \t\r]/.test(line));
  return filled.filter((now, index) => now && !filled[index - 1]).length;
}

/** The quotient with two decimals, half up. In whole numbers, so that every language gives the same. */
function hundredths(dividend, divisor) {
  return Math.floor((dividend * 200 + divisor) / (divisor * 2)) / 100;
}

/** The words that come most often; of those as frequent, the alphabet's first. */
function frequent(words) {
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts]
    .map(([word, count]) => ({ word, count }))
    .sort((a, b) => b.count - a.count || (a.word < b.word ? -1 : 1))
    .slice(0, FREQUENT_MAX);
}
