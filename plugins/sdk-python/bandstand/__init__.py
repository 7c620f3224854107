"""What an agent of Bandstand is written with in Python: typed input and output, failures, memory, models, tools, HTTP, log
and progress.

An agent is a module `agent` with one function::

    from dataclasses import dataclass

    from bandstand import Permanent, Reply, agent


    @dataclass
    class Input:
        text: str


    @agent
    def run(input: Input) -> Reply:
        words = len(input.text.split())
        if words == 0:
            raise Permanent("text-empty", "`text` holds no word")
        return Reply({"words": words}, confidence=0.9)

A failure is raised: `Recoverable` where another attempt may help, `Permanent` where it cannot. What the host refuses is
raised as `HostError`, a request without a response as `HttpError`; left alone they become failures of the right kind. Any other exception is a crash: its text and its
traceback reach the host as the attempt's last words.

Under plain Python, in `python -m unittest`, the host's functions are played by `bandstand.fake`. On wasm there are no
files to import from at run time: import everything at the top of a module, never inside a function.
"""

from . import http, log, memory, model, progress, tools
from .call import Agent, Call, agent
from .failure import Failure, HostError, HttpError, Permanent, Recoverable
from .reply import Choice, Reply, Review

__all__ = [
    "Agent",
    "Call",
    "Choice",
    "Failure",
    "HostError",
    "HttpError",
    "Permanent",
    "Recoverable",
    "Reply",
    "Review",
    "agent",
    "http",
    "log",
    "memory",
    "model",
    "progress",
    "tools",
]
