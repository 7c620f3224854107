"""The host's functions as tests see them under plain Python: one small memory for the process. It keeps the rules that
agents rely on (filters, order, ids), not the host's limits, ranking or durability. Call `reset` in a test's `setUp`."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from . import http
from .failure import HostError, HttpError
from .memory.audit import Recorded
from .memory.facts import Fact, Hit
from .model import Request, Response, ToolSpec
from .reply import to_json

_START = "2026-01-01T00:00:00Z"


class _State:
    def __init__(self) -> None:
        self.denied = False
        self.thread_id: str | None = None
        self.user_id: str | None = None
        self.logged: list[str] = []
        self.shown: list[str] = []
        self.entries: list[Recorded] = []
        self.facts: list[Hit] = []
        self.slots: dict[str, Any] = {}
        self.ids = 0
        self.asked: list[Request] = []
        self.answers: list[Response | HostError] = []
        self.tools: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.answer_http: Callable[[http.Request], http.Response] | None = None

    def id(self, kind: str) -> str:
        self.ids += 1
        return f"{kind}-{self.ids}"


_state = _State()


def reset() -> None:
    """Forgets everything."""
    _state.__init__()  # type: ignore[misc]


def speak_for(thread_id: str | None = None, user_id: str | None = None) -> None:
    """Speaks from now on for calls of this thread and user."""
    _state.thread_id, _state.user_id = thread_id, user_id


def deny_memory() -> None:
    """Refuses all memory from now on, as a host without the grant."""
    _state.denied = True


def answer_with(*answers: Response | HostError | str) -> None:
    """Answers the next calls of a model with these, in order. A text is a whole answer."""
    _state.answers.extend(Response(each) if isinstance(each, str) else each for each in answers)


def tool(name: str, answer: Callable[[dict[str, Any]], Any]) -> None:
    """Grants a tool that answers so."""
    _state.tools[name] = answer


def answer_http(answer: Callable[[http.Request], http.Response]) -> None:
    """Answers every HTTP request with what this returns. What it raises reaches the agent: an `HttpError`, say."""
    _state.answer_http = answer


def asked() -> list[Request]:
    """What models were asked."""
    return list(_state.asked)


def logged() -> list[str]:
    """What was logged: level, message and fields in a line each."""
    return list(_state.logged)


def shown() -> list[str]:
    """What was shown as progress."""
    return list(_state.shown)


def _memory() -> _State:
    if _state.denied:
        raise HostError("denied", "memory-not-granted", "needs the grant `memory`")
    return _state


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def log_write(level: str, message: str, fields: str) -> None:
    """See `log.write`."""
    _state.logged.append(f"{level} {message} {fields}".rstrip())


def progress_chunk(text: str) -> None:
    """See `progress.chunk`."""
    _state.shown.append(text)


def progress_report(fraction: float | None, message: str) -> None:
    """See `progress.at`."""
    _state.shown.append(message if fraction is None else f"{fraction:.2f} {message}")


def audit_append(action: str, payload: Any, tags: list[str]) -> str:
    """See `memory.audit.append`."""
    state = _memory()
    id = state.id("entry")
    payload = json.loads(to_json(payload))
    state.entries.append(Recorded(id, _START, state.user_id, state.thread_id, "node@1", action, payload, tags))
    return id


def audit_snapshot(limit: int) -> list[Recorded]:
    """See `memory.audit.snapshot`."""
    state = _memory()
    mine = [each for each in state.entries if each.thread_id == state.thread_id]
    return copy.deepcopy(mine[-limit:] if limit else [])


def facts_put(facts: list[Fact]) -> list[str]:
    """See `memory.facts.put`."""
    state = _memory()
    hits = [
        Hit(state.id("fact"), 0.0, _START, state.thread_id, dataclasses.replace(fact, user_id=fact.user_id or state.user_id))
        for fact in facts
    ]
    state.facts.extend(hits)
    return [hit.id for hit in hits]


def facts_search(text: str, mode: str, embedding: Any, tags: Any, kinds: Any, user: Any, thread: Any, limit: int) -> list[Hit]:
    """See `memory.facts.search`. By words, whatever the mode."""
    wanted = _words(text)
    hits = []
    for hit in reversed(_memory().facts):
        fits = (
            all(tag in hit.fact.tags for tag in tags)
            and (not kinds or hit.fact.kind in kinds)
            and (user is None or user == hit.fact.user_id)
            and (thread is None or thread == hit.thread_id)
        )
        present = _words(hit.fact.text)
        score = float(sum(word in present for word in wanted))
        if fits and (not wanted or score > 0):
            hits.append(dataclasses.replace(copy.deepcopy(hit), score=score))
    return sorted(hits, key=lambda hit: -hit.score)[:limit]


def facts_forget(id: str) -> None:
    """See `memory.facts.forget`."""
    state = _memory()
    kept = [hit for hit in state.facts if hit.id != id]
    if len(kept) == len(state.facts):
        raise HostError("not-found", "fact-not-found", "no such fact")
    state.facts = kept


def facts_reflect(entry_id: str) -> list[str]:
    """See `memory.facts.reflect`."""
    for entry in _memory().entries:
        if entry.id == entry_id:
            return facts_put([Fact(to_json(entry.payload), tags=entry.tags, source=entry.id)])
    raise HostError("not-found", "entry-not-found", "no such entry")


def facts_consolidate() -> int:
    """See `memory.facts.consolidate`."""
    state = _memory()
    first = {(hit.fact.user_id, *_words(hit.fact.text)): hit for hit in reversed(state.facts)}
    kept = [hit for hit in state.facts if hit in first.values()]
    gone = len(state.facts) - len(kept)
    state.facts = kept
    return gone


def slots_get(name: str) -> Any:
    """See `memory.slots.get`."""
    return copy.deepcopy(_memory().slots.get(name))


def slots_set(name: str, value: Any) -> None:
    """See `memory.slots.set`."""
    slots = _memory().slots
    if value is None:
        slots.pop(name, None)
    else:
        slots[name] = json.loads(to_json(value))


def slots_list() -> list[str]:
    """See `memory.slots.names`."""
    return sorted(_memory().slots)


def model_chat(request: Request) -> Response:
    """See `model.chat`."""
    _state.asked.append(request)
    if not _state.answers:
        raise HostError("not-found", "no-answer", "call `fake.answer_with` first")
    answer = _state.answers.pop(0)
    if isinstance(answer, HostError):
        raise answer
    return answer


def model_stream(request: Request) -> Iterator[Any]:
    """See `model.stream`."""
    response = model_chat(request)
    yield from re.findall(r"\S*\s|\S+", response.text)
    yield from response.tool_calls
    yield response


def model_embed(model: str | None, texts: list[str]) -> list[list[float]]:
    """See `model.embed`. A vector of the counts of letters: enough to tell texts apart."""
    return [[float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]


def tools_list() -> list[ToolSpec]:
    """See `tools.granted`."""
    return [ToolSpec(name) for name in _state.tools]


def tools_call(name: str, arguments: Any) -> Any:
    """See `tools.call`."""
    if name not in _state.tools:
        raise HostError("denied", "tools-not-granted", "call `fake.tool` first")
    read = json.loads(to_json(arguments))
    if not isinstance(read, dict):
        raise HostError("invalid", "arguments-not-object", "arguments are a JSON object")
    return json.loads(to_json(_state.tools[name](read)))


def http_send(request: http.Request) -> http.Response:
    """See `http.request`."""
    if _state.answer_http is None:
        raise HttpError("http-request-denied", "nobody answers in this test: call `fake.answer_http` first")
    return _state.answer_http(request)
