"""Tells how long a text takes to read."""

from dataclasses import dataclass

from bandstand import Permanent, agent, log

#: How fast people read.
WORDS_PER_MINUTE = 200


@dataclass
class Input:
    """What a workflow gives. An input of another form fails the attempt with `input-invalid`."""

    text: str


@dataclass
class Output:
    """What it gets."""

    words: int
    minutes: int


# Import everything at the top of a module, never inside a function: once built there are no files to import from.
@agent
def run(input: Input) -> Output:
    words = len(input.text.split())
    if words == 0:
        raise Permanent("text-empty", "`text` holds no word")
    log.info("counted", words=words)
    return Output(words, minutes=-(-words // WORDS_PER_MINUTE))
