"""How an agent says that it is done, how sure it is, and where the run should go."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .failure import Permanent


def _in_unit(number: float) -> float:
    """Into 0..=1; NaN is 0."""
    return 0.0 if math.isnan(number) else min(max(float(number), 0.0), 1.0)


def to_json(value: Any) -> str:
    """JSON text of plain data, dataclasses and enums. Raises `TypeError` or `ValueError` for what is no JSON."""
    text = json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    # Half of a character raises here; on its way to the host it would be a trap.
    text.encode()
    return text


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} is no JSON")


@dataclass
class Choice:
    """One of the ways an agent sees to go on: a key of the node's `route`, and how sure it is, 0 to 1."""

    name: str
    confidence: float
    #: For the routing record; shown to people.
    reason: str | None = None

    def __post_init__(self) -> None:
        self.confidence = _in_unit(self.confidence)


@dataclass
class Review:
    """What a person is asked before the run goes on."""

    #: One line: what is to be decided.
    title: str
    #: Why the agent does not decide it alone.
    reason: str
    #: JSON Schema of a form for the reviewer.
    form: Any = None
    #: What is to be approved; left out, the whole output.
    propose: Any = None
    #: How long the review stays open.
    timeout_ms: int | None = None
    #: Who may answer; nobody named: anyone whom the workflow allows.
    reviewers: list[str] = field(default_factory=list)
    #: How many approvals it takes.
    quorum: int = 1


class Reply:
    """The attempt succeeded. The output is an object: a dict or a dataclass; anything else fails the attempt with
    `output-invalid`."""

    def __init__(
        self,
        output: Any,
        *,
        confidence: float | None = None,
        goto: str | None = None,
        choose: Mapping[str, float] | Iterable[Choice] | None = None,
        review: Review | None = None,
    ):
        """`confidence` is how sure the agent is, 0 to 1. One of these says where the run goes; without them it goes as the
        workflow file says: `goto` names a node of the node's `goto` list, `choose` offers options for its `route`,
        `review` asks a person first."""
        if sum(way is not None for way in (goto, choose, review)) > 1:
            raise ValueError("a reply goes one way: give one of `goto`, `choose` and `review`")
        self.output = output
        self.confidence = None if confidence is None else _in_unit(confidence)
        self.goto = goto
        if isinstance(choose, Mapping):
            choose = [Choice(name, sure) for name, sure in choose.items()]
        self.choose = None if choose is None else list(choose)
        self.review = review

    def output_json(self) -> str:
        """The output as JSON text; what is no object raises `Permanent`."""
        try:
            text = to_json(self.output)
        except (TypeError, ValueError) as error:
            raise Permanent("output-invalid", f"the output is no JSON: {error}") from error
        if not text.startswith("{"):
            raise Permanent("output-invalid", f"an output must be a JSON object, not {text[:100]}")
        return text
