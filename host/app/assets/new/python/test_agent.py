"""The agent under plain Python; the host is played by `bandstand.fake`."""

import unittest

from agent import Output, run
from bandstand import Permanent, fake


class Agent(unittest.TestCase):
    def setUp(self):
        fake.reset()

    def test_tells_how_long_a_text_takes(self):
        reply = run.answer({"text": "word " * 201})
        self.assertEqual(reply.output, Output(words=201, minutes=2))
        self.assertEqual(fake.logged(), ['info counted {"words":201}'])

    def test_refuses_a_text_without_a_word(self):
        with self.assertRaises(Permanent) as raised:
            run.answer({"text": " "})
        self.assertEqual(raised.exception.code, "text-empty")


if __name__ == "__main__":
    unittest.main()
