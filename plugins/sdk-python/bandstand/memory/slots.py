"""Named places of the thread, one JSON value each: `persona`, `long-term-facts`, `open-loops`, `recent-summary`."""

from __future__ import annotations

from typing import Any

from .. import _host


def get(name: str) -> Any:
    """The value, or None where nothing was set."""
    return _host.host.slots_get(name)


def set(name: str, value: Any) -> None:
    """Puts a value in place of the former; None empties the slot."""
    _host.host.slots_set(name, value)


def names() -> list[str]:
    """The names in use, in order."""
    return _host.host.slots_list()
