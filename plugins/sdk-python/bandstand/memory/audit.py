"""A record of what happened that only grows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .. import _host


@dataclass
class Recorded:
    """An entry as the host keeps it."""

    #: Unique within the workflow.
    id: str
    #: When it was appended, RFC 3339.
    at: str
    #: For whom.
    user_id: str | None
    #: In which thread.
    thread_id: str | None
    #: By which node.
    source: str
    #: What was done, in kebab-case.
    action: str
    #: The details, any JSON.
    payload: Any
    #: Words to find it by.
    tags: list[str]


def append(action: str, payload: Any = None, tags: Iterable[str] = ()) -> str:
    """Appends an entry for this call's user, thread and node; gives its id."""
    return _host.host.audit_append(action, payload, list(tags))


def snapshot(limit: int) -> list[Recorded]:
    """The latest entries of this call's thread (of its run, without a thread), oldest first."""
    return _host.host.audit_snapshot(limit)
