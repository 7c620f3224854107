"""Lines for the operator, kept with the attempt. Always allowed. What is printed is kept as well, without a level."""

from __future__ import annotations

from typing import Any

from . import _host
from .reply import to_json


def write(level: str, message: str, **fields: Any) -> None:
    """A line with details. `level` is `trace`, `debug`, `info`, `warn` or `error`."""
    try:
        text = to_json(fields) if fields else ""
    except (TypeError, ValueError):
        text = to_json({name: str(value).encode(errors="replace").decode() for name, value in fields.items()})
    _host.host.log_write(level, message, text)


def debug(message: str, **fields: Any) -> None:
    """A line of level `debug`."""
    write("debug", message, **fields)


def info(message: str, **fields: Any) -> None:
    """A line of level `info`."""
    write("info", message, **fields)


def warn(message: str, **fields: Any) -> None:
    """A line of level `warn`."""
    write("warn", message, **fields)


def error(message: str, **fields: Any) -> None:
    """A line of level `error`."""
    write("error", message, **fields)
