"""What is known, found again by words, meaning, tags, kind, user or thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .. import _host


@dataclass
class Fact:
    """One thing known."""

    #: The fact in words.
    text: str
    #: What sort of fact: `note`, `preference`, or the agent's own word.
    kind: str = "note"
    #: Words to filter by.
    tags: list[str] = field(default_factory=list)
    #: Whom it is about; in `put`, none means this call's user.
    user_id: str | None = None
    #: How much it matters, 0 to 1.
    salience: float = 0.5
    #: How sure it is, 0 to 1.
    confidence: float = 0.5
    #: Where it comes from.
    source: str = ""
    #: Its meaning as a vector. Without one, only a search by words finds it.
    embedding: list[float] | None = None


@dataclass
class Hit:
    """A fact that was found."""

    #: For `forget`.
    id: str
    #: Higher is better; comparable within one answer only.
    score: float
    #: When it was put, RFC 3339.
    at: str
    #: The thread of the call that put it.
    thread_id: str | None
    #: What was put.
    fact: Fact


def put(*facts: Fact) -> list[str]:
    """Keeps facts, all or none; gives their ids in the same order."""
    return _host.host.facts_put(list(facts))


def search(
    text: str = "",
    *,
    mode: str = "keyword",
    embedding: list[float] | None = None,
    tags: Iterable[str] = (),
    kinds: Iterable[str] = (),
    user_id: str | None = None,
    thread_id: str | None = None,
    limit: int = 10,
) -> list[Hit]:
    """The best hits, best first. All filters must hold, and an empty one filters nothing. Without `text` newer facts come
    first. `mode` is `keyword`, `vector` or `hybrid`; the latter two need `embedding`."""
    return _host.host.facts_search(text, mode, embedding, list(tags), list(kinds), user_id, thread_id, limit)


def forget(id: str) -> None:
    """Removes a fact."""
    _host.host.facts_forget(id)


def reflect(entry_id: str) -> list[str]:
    """Lets the host derive facts from an audit entry; gives their ids."""
    return _host.host.facts_reflect(entry_id)


def consolidate() -> int:
    """Merges facts that say the same about the same user; how many went."""
    return _host.host.facts_consolidate()
