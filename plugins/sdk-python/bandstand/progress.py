"""What watchers see while the attempt runs; never part of its result. Always allowed."""

from __future__ import annotations

from . import _host


def at(fraction: float, message: str) -> None:
    """How far the work is, 0 to 1."""
    _host.host.progress_report(float(fraction), message)


def doing(message: str) -> None:
    """What is being done, when nobody knows how far it is."""
    _host.host.progress_report(None, message)


def chunk(text: str) -> None:
    """The next piece of a text that is being produced."""
    _host.host.progress_chunk(text)
