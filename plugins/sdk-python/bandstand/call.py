"""What an agent is told, and the decorator that makes an agent of a function."""

from __future__ import annotations

import inspect
import json
import random
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .failure import Permanent
from .reply import Reply
from .shape import Misfit, fit


@dataclass
class Call:
    """One attempt at one node. The defaults are for tests: a first attempt."""

    #: The input as JSON text; the agent's first parameter has it as a type of its own.
    input_json: str = "{}"
    #: The run this attempt belongs to.
    run_id: str = "run-1"
    #: The conversation or case that several runs share, if the run has one.
    thread_id: str | None = None
    #: The person on whose behalf the run goes on, if known.
    user_id: str | None = None
    #: Name of the workflow.
    workflow: str = "test"
    #: Path of the node, with visits: `fan@1/law@1`.
    node: str = "node@1"
    #: How often the run has come to this node, this time included.
    visit: int = 1
    #: Which attempt of this visit this is, from 1.
    attempt: int = 1
    #: The attempt after which the host gives up.
    attempts_max: int = 4
    #: The same for every attempt that might repeat one effect.
    idempotency_key: str = "run-1/node@1"
    #: When this attempt started, RFC 3339.
    started_at: str = "2026-01-01T00:00:00Z"
    #: How long the attempt may take, from `started_at`.
    timeout_ms: int = 60_000
    #: For `random`.
    seed: int = 1
    #: What later hosts add, as JSON text of an object.
    context_json: str = "{}"

    def random(self) -> random.Random:
        """Random numbers for this attempt: others in every attempt, the same when it is replayed. On wasm the module
        `random` itself is seeded so, too."""
        return random.Random(self.seed)


class Agent:
    """A function that is an agent. Called, it is the function itself; `answer` goes the whole way from JSON."""

    def __init__(self, run: Callable[..., Any]):
        parameters = list(inspect.signature(run).parameters.values())
        if len(parameters) not in (1, 2):
            raise TypeError(f"{run.__qualname__}: an agent takes its input, and its call if it wants it")
        self.run = run
        self._takes_call = len(parameters) == 2
        self._input = parameters[0]
        self.__doc__ = run.__doc__
        self.__wrapped__ = run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(*args, **kwargs)

    def answer(self, call: Call | dict[str, Any]) -> Reply:
        """Reads the input, runs the function and wraps what it returned. A dict is an input, for tests. An input that does
        not fit raises `Permanent` with `input-invalid`, since another attempt gets the same input."""
        if not isinstance(call, Call):
            call = Call(input_json=json.dumps(call))
        hint = typing.get_type_hints(self.run).get(self._input.name, Any)
        try:
            value = fit(json.loads(call.input_json), hint)
        except (Misfit, json.JSONDecodeError) as error:
            raise Permanent("input-invalid", f"the input of this node does not fit: {error}") from None
        found = self.run(value, call) if self._takes_call else self.run(value)
        return found if isinstance(found, Reply) else Reply(found)


def agent(run: Callable[..., Any]) -> Agent:
    """Makes a function the agent of its module. Its first parameter is the input, as its hint says: a dataclass, a dict,
    or any other type that JSON has; its second, if it has one, the `Call`. It returns a `Reply`, or an output alone."""
    return Agent(run)
