"""Tools that the operator granted: other plugins, each with its own grants and limits. Needs the grant `tools`, and `tools`
among the plugin's `uses`."""

from __future__ import annotations

from typing import Any

from . import _host
from .model import ToolSpec


def granted() -> list[ToolSpec]:
    """Those that are granted, in the order of the grant, as a model may be told of them."""
    return _host.host.tools_list()


def call(name: str, arguments: Any = None, /, **named: Any) -> Any:
    """Calls one and waits for its output. Its arguments are an object: a dict, a dataclass, or named. It ends with this
    attempt. A tool that fails is a `HostError` with its own code and message, one that dies has its class as the code
    (`trap`, `limit`, `timeout`); this agent goes on."""
    return _host.host.tools_call(name, named if arguments is None else arguments)
