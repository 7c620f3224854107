"""`stats`: counts the words, sentences and paragraphs of a document. What it counts is laid down in `../README.md`."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from bandstand import Permanent, Recoverable, agent, log

WORD = re.compile(r"[A-Za-z0-9]+(?:'[A-Za-z0-9]+)*")
FREQUENT_MAX = 5


@dataclass
class Input:
    text: str
    #: Ends the call another way, so that hosts can be tried out.
    fail: Literal["recoverable", "permanent", "crash", "spin", "hoard"] | None = None


@dataclass
class Frequent:
    word: str
    count: int


@dataclass
class Output:
    characters: int
    words: int
    sentences: int
    paragraphs: int
    longest_word: str
    words_per_sentence: float
    frequent: list[Frequent]


@agent
def run(input: Input) -> Output:
    if input.fail == "recoverable":
        raise Recoverable("try-later", "asked to fail for now", retry_after_ms=1500)
    if input.fail == "permanent":
        raise Permanent("asked-to-fail", "asked to fail for good")
    if input.fail == "crash":
        raise RuntimeError("asked to crash")
    while input.fail == "spin":
        pass
    hoard = []
    while input.fail == "hoard":
        hoard.append(bytearray(1 << 20))
    words = [word.lower() for word in WORD.findall(input.text)]
    if not words:
        raise Permanent("text-empty", "`text` holds no word")
    sentences = sum(bool(WORD.search(piece)) for piece in re.split(r"[.!?]", input.text))
    log.info("counted", words=len(words))
    return Output(
        characters=len(input.text),
        words=len(words),
        sentences=sentences,
        paragraphs=paragraphs(input.text),
        longest_word=max(words, key=len),
        words_per_sentence=hundredths(len(words), sentences),
        frequent=frequent(words),
    )


def paragraphs(text: str) -> int:
    """How many runs of lines there are that are not blank."""
    filled = [line.strip(" \t\r") != "" for line in text.split("\n")]
    return sum(now and not before for before, now in zip([False, *filled], filled))


def hundredths(dividend: int, divisor: int) -> float:
    """The quotient with two decimals, half up. In whole numbers, so that every language gives the same."""
    whole = (dividend * 200 + divisor) // (divisor * 2)
    return whole // 100 if whole % 100 == 0 else whole / 100


def frequent(words: list[str]) -> list[Frequent]:
    """The words that come most often; of those as frequent, the alphabet's first."""
    counted = sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))
    return [Frequent(word, count) for word, count in counted[:FREQUENT_MAX]]
