"""The border to the host, on wasm only: what turns the SDK's types into those of the bindings. A plugin's world has the
interfaces that its `uses` name and no others, so each is looked for, once, while the component is built."""

from __future__ import annotations

import importlib
import json
from typing import Any

from componentize_py_types import Err

try:
    from wit_world.imports import types
except ImportError:
    # With those of HTTP there are two interfaces of this name, which the tool tells apart by their packages.
    from wit_world.imports import bandstand_agent_types as types

from .failure import Failure, HostError
from .memory.audit import Recorded
from .memory.facts import Fact, Hit
from .model import Image, Message, Request, Response, ToolCall, ToolResult, ToolSpec, Usage
from .reply import Reply, to_json


class _Absent:
    """Stands for an interface that the plugin's world lacks."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, _: str) -> Any:
        message = f"this plugin was built without `{self._name}`: add it to `uses` in plugin.toml and build again"
        raise HostError("not-found", "interface-missing", message)


def _interface(name: str) -> Any:
    try:
        return importlib.import_module("wit_world.imports." + name.replace("-", "_"))
    except ModuleNotFoundError:
        return _Absent(name)


try:
    from . import _wasm_http as _http
except ImportError:
    _http = _Absent("http")
_log = _interface("log")
_progress = _interface("progress")
_audit = _interface("memory-audit")
_facts = _interface("memory-facts")
_slots = _interface("memory-slots")
_model = _interface("model")
_tools = _interface("tools")


def _plain(text: str) -> str:
    """A text for people, as the bindings can bring it to the host: half of a character would be a trap there."""
    return text.encode(errors="replace").decode()


def _word(case: Any) -> str:
    """A case of an enum as WIT writes it."""
    return case.name.lower().replace("_", "-")


def _case(enumeration: Any, word: str) -> Any:
    """The case of an enum that WIT writes so."""
    try:
        return enumeration[word.upper().replace("-", "_")]
    except KeyError:
        known = ", ".join(_word(each) for each in enumeration)
        raise ValueError(f"`{word}` is none of {known}") from None


def _value(text: str) -> Any:
    """JSON of the host; what is none stays visible as text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _json(value: Any) -> str | None:
    return None if value is None else to_json(value)


def _ask(function: Any, *args: Any) -> Any:
    """Calls the host; its refusal is raised as the SDK's own error."""
    try:
        return function(*args)
    except Err as error:
        told = error.value
        raise HostError(_word(told.kind), told.code, told.message, told.retry_after_ms) from None


def raw_failure(failure: Failure) -> Any:
    """A failure as it crosses. Data that is no JSON becomes its error's text."""
    try:
        data = _json(failure.data)
    except (TypeError, ValueError) as error:
        data = to_json(str(error))
    kind = _case(types.FailureKind, failure.kind)
    return types.Failure(kind, _plain(failure.code), _plain(failure.message), failure.retry_after_ms, data)


def raw_reply(reply: Reply) -> Any:
    """A reply as it crosses."""
    way: Any = types.Next_Edges()
    if reply.goto is not None:
        way = types.Next_Goto(reply.goto)
    elif reply.choose is not None:
        way = types.Next_Choose([types.Choice(each.name, each.confidence, each.reason) for each in reply.choose])
    elif reply.review is not None:
        asked = reply.review
        way = types.Next_Review(
            types.ReviewRequest(
                asked.title,
                asked.reason,
                _json(asked.form),
                _json(asked.propose),
                asked.timeout_ms,
                list(asked.reviewers),
                max(asked.quorum, 1),
            )
        )
    return types.Reply(reply.output_json(), reply.confidence, way)


def last_words(message: str, trace: str) -> None:
    """Says why this instance is about to crash."""
    _log.last_words(_plain(message), _plain(trace))


def log_write(level: str, message: str, fields: str) -> None:
    """See `log.write`."""
    _log.write(_case(_log.Level, level), _plain(message), fields)


def progress_chunk(text: str) -> None:
    """See `progress.chunk`."""
    _progress.chunk(_plain(text))


def progress_report(fraction: float | None, message: str) -> None:
    """See `progress.at`."""
    _progress.report(fraction, _plain(message))


def audit_append(action: str, payload: Any, tags: list[str]) -> str:
    """See `memory.audit.append`."""
    return _ask(_audit.append, _audit.Entry(action, to_json(payload), tags))


def audit_snapshot(limit: int) -> list[Recorded]:
    """See `memory.audit.snapshot`."""
    return [
        Recorded(
            each.id,
            each.at,
            each.user_id,
            each.thread_id,
            each.source,
            each.entry.action,
            _value(each.entry.payload),
            each.entry.tags,
        )
        for each in _ask(_audit.snapshot, limit)
    ]


#: The members of a fact, of ours and of the binding's, in the binding's order.
_FACT = ("text", "kind", "tags", "user_id", "salience", "confidence", "source", "embedding")


def facts_put(facts: list[Fact]) -> list[str]:
    """See `memory.facts.put`."""
    return _ask(_facts.put, [_facts.Fact(*(getattr(fact, name) for name in _FACT)) for fact in facts])


def facts_search(text: str, mode: str, embedding: Any, tags: Any, kinds: Any, user: Any, thread: Any, limit: int) -> list[Hit]:
    """See `memory.facts.search`."""
    raw = _facts.Query(text, _case(_facts.SearchMode, mode), embedding, tags, kinds, user, thread, limit)
    return [
        Hit(hit.id, hit.score, hit.at, hit.thread_id, Fact(*(getattr(hit.fact, name) for name in _FACT)))
        for hit in _ask(_facts.search, raw)
    ]


def facts_forget(id: str) -> None:
    """See `memory.facts.forget`."""
    _ask(_facts.forget, id)


def facts_reflect(entry_id: str) -> list[str]:
    """See `memory.facts.reflect`."""
    return _ask(_facts.reflect, entry_id)


def facts_consolidate() -> int:
    """See `memory.facts.consolidate`."""
    return _ask(_facts.consolidate)


def slots_get(name: str) -> Any:
    """See `memory.slots.get`."""
    text = _ask(_slots.get, name)
    return None if text is None else _value(text)


def slots_set(name: str, value: Any) -> None:
    """See `memory.slots.set`."""
    _ask(_slots.set, name, to_json(value))


def slots_list() -> list[str]:
    """See `memory.slots.names`."""
    return _ask(_slots.list)


def model_chat(request: Request) -> Response:
    """See `model.chat`."""
    return _response(_ask(_model.chat, _raw_request(request)))


def model_stream(request: Request) -> Any:
    """See `model.stream`."""
    with _ask(_model.chat_stream, _raw_request(request)) as answer:
        while (event := _ask(answer.next)) is not None:
            if isinstance(event, _model.Event_Text):
                yield event.value
            elif isinstance(event, _model.Event_ToolCall):
                yield _tool_call(event.value)
            else:
                yield _response(event.value)


def model_embed(model: str | None, texts: list[str]) -> list[list[float]]:
    """See `model.embed`."""
    return _ask(_model.embed, model, texts)


def tools_list() -> list[ToolSpec]:
    """See `tools.granted`."""
    return [ToolSpec(each.name, each.description, _value(each.parameters)) for each in _ask(_tools.list)]


def tools_call(name: str, arguments: Any) -> Any:
    """See `tools.call`."""
    return _value(_ask(_tools.call, name, to_json(arguments)))


def http_send(request: Any) -> Any:
    """See `http.request`."""
    return _http.send(request)


def _raw_request(request: Request) -> Any:
    return _model.Request(
        request.model,
        [_raw_message(each) for each in request.messages],
        [_model.ToolSpec(each.name, each.description, to_json(each.parameters)) for each in request.tools],
        _json(request.schema),
        request.temperature,
        request.max_output_tokens,
    )


def _raw_message(message: Message) -> Any:
    return _model.Message(_case(_model.Role, message.role), [_raw_part(part) for part in message.parts])


def _raw_part(part: Any) -> Any:
    if isinstance(part, str):
        return _model.Part_Text(part)
    if isinstance(part, Image):
        return _model.Part_Image(_model.Image(part.media_type, part.data))
    if isinstance(part, ToolCall):
        return _model.Part_ToolCall(_model.ToolCall(part.id, part.name, to_json(part.args)))
    if isinstance(part, ToolResult):
        return _model.Part_ToolResult(_model.ToolResult(part.id, to_json(part.output), part.is_error))
    raise TypeError(f"a message is made of text, Image, ToolCall and ToolResult, not of {type(part).__name__}")


def _tool_call(raw: Any) -> ToolCall:
    return ToolCall(raw.id, raw.name, _value(raw.arguments))


def _response(raw: Any) -> Response:
    usage = Usage(raw.usage.input_tokens, raw.usage.output_tokens, raw.usage.cached_tokens)
    calls = [_tool_call(each) for each in raw.tool_calls]
    return Response(raw.text, calls, _word(raw.finish), usage, raw.model)
