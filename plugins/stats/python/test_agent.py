"""The agent under plain Python: `python3 -m unittest`, with `../../sdk-python` on PYTHONPATH."""

import unittest

from agent import run
from bandstand import Permanent, Recoverable, fake


class Stats(unittest.TestCase):
    def setUp(self):
        fake.reset()

    def test_counts(self):
        output = run.answer({"text": "One two. Two!"}).output
        self.assertEqual((output.words, output.sentences, output.words_per_sentence), (3, 2, 1.5))
        self.assertEqual(output.frequent[0].word, "two")
        self.assertEqual(fake.logged(), ['info counted {"words":3}'])

    def test_fails_as_asked(self):
        with self.assertRaises(Permanent) as raised:
            run.answer({"text": " - "})
        self.assertEqual(raised.exception.code, "text-empty")
        with self.assertRaises(Recoverable) as raised:
            run.answer({"text": "", "fail": "recoverable"})
        self.assertEqual(raised.exception.retry_after_ms, 1500)
        with self.assertRaises(RuntimeError):
            run.answer({"text": "", "fail": "crash"})

    def test_input_that_does_not_fit(self):
        for input in ({}, {"text": 1}, {"text": "a", "fail": "x"}):
            with self.assertRaises(Permanent) as raised:
                run.answer(input)
            self.assertEqual(raised.exception.code, "input-invalid", input)


if __name__ == "__main__":
    unittest.main()
