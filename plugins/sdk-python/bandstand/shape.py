"""From JSON to the types that an agent declares: dataclasses and what their hints may name."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from typing import Any

_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list", dict: "an object"}


class Misfit(Exception):
    """JSON that does not fit; says where, as a JSON pointer."""

    def __init__(self, at: str, message: str):
        super().__init__(f"{at}: {message}" if at else message)


def fit(value: Any, hint: Any, at: str = "") -> Any:
    """`value` as the type that `hint` names. Members that a dataclass does not have are left out. Raises `Misfit`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or hint is object:
        return value
    if hint is None or hint is type(None):
        return _be(value is None, None, "null", value, at)
    if origin is typing.Union or origin is types.UnionType:
        return _one_of(value, args, at)
    if origin is typing.Annotated:
        return fit(value, args[0], at)
    if origin is typing.Literal:
        wanted = " or ".join(_shown(each) for each in args)
        return _be(any(value == each and type(value) is type(each) for each in args), value, wanted, value, at)
    if dataclasses.is_dataclass(hint):
        return _record(value, hint, at)
    if hint is list or origin is list:
        _be(isinstance(value, list), value, "a list", value, at)
        item = args[0] if args else Any
        return [fit(each, item, f"{at}/{index}") for index, each in enumerate(value)]
    if hint is dict or origin is dict:
        _be(isinstance(value, dict), value, "an object", value, at)
        item = args[1] if args else Any
        return {name: fit(each, item, f"{at}/{name}") for name, each in value.items()}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        wanted = " or ".join(_shown(each.value) for each in hint)
        found = [each for each in hint if each.value == value]
        return _be(bool(found), found and found[0], wanted, value, at)
    if hint is float:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        return _be(good, float(value) if good else value, "a number", value, at)
    if hint in (str, int, bool):
        return _be(type(value) is hint, value, _NAMES[hint], value, at)
    raise TypeError(f"{at or 'the input'}: the hint {hint!r} names nothing that JSON has")


def _one_of(value: Any, hints: tuple[Any, ...], at: str) -> Any:
    if value is None and type(None) in hints:
        return None
    misfits = []
    for hint in hints:
        if hint is not type(None):
            try:
                return fit(value, hint, at)
            except Misfit as misfit:
                misfits.append(misfit)
    raise misfits[0]


def _record(value: Any, hint: Any, at: str) -> Any:
    _be(isinstance(value, dict), value, "an object", value, at)
    hints = typing.get_type_hints(hint)
    members = {}
    for each in dataclasses.fields(hint):
        if each.name in value:
            members[each.name] = fit(value[each.name], hints[each.name], f"{at}/{each.name}")
        elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise Misfit(at, f"`{each.name}` is missing")
    return hint(**members)


def _be(good: bool, result: Any, wanted: str, found: Any, at: str) -> Any:
    if not good:
        raise Misfit(at, f"expected {wanted}, found {_shown(found)}")
    return result


def _shown(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return _NAMES[type(value)]
    text = {None: "null", True: "true", False: "false"}.get(value) if value is None or isinstance(value, bool) else None
    if text is None:
        text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
