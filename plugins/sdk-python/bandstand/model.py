"""Language models, by the operator's names for them. Needs the grant `model`, and `model` among the plugin's `uses`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from . import _host


@dataclass
class Image:
    """A picture in a message, from the user only: its media type (`image/png`) and the file."""

    media_type: str
    data: bytes


@dataclass
class ToolCall:
    """The model asks for a tool. The model wrote `args`, so they may not be what the tool's `parameters` ask for."""

    id: str
    name: str
    args: Any


@dataclass
class ToolResult:
    """What a tool gave: the answer to the call of that id."""

    id: str
    output: Any
    is_error: bool = False


@dataclass
class ToolSpec:
    """A tool that the model may ask for."""

    #: Letters, digits, `_` and `-`.
    name: str
    #: When to use it, for the model.
    description: str = ""
    #: JSON Schema of the arguments, an object.
    parameters: Any = field(default_factory=lambda: {"type": "object"})


#: A piece of a message: words, or one of these.
Part = str | Image | ToolCall | ToolResult


@dataclass
class Message:
    """One turn of the conversation. `role` is `system`, `user`, `assistant` or `tool`."""

    role: str
    parts: list[Part]


def system(text: str) -> Message:
    """Instructions."""
    return Message("system", [text])


def user(*parts: str | Image) -> Message:
    """Words, and pictures, of whoever asks."""
    return Message("user", list(parts))


def assistant(text: str) -> Message:
    """Words of the model."""
    return Message("assistant", [text])


def tool(id: str, output: Any, is_error: bool = False) -> Message:
    """What a tool gave: the answer to the call of that id."""
    return Message("tool", [ToolResult(id, output, is_error)])


@dataclass
class Usage:
    """What a call used, in tokens."""

    input_tokens: int = 0
    output_tokens: int = 0
    #: Of those read, the ones that the provider had kept.
    cached_tokens: int = 0


@dataclass
class Response:
    """What the model answered."""

    #: Its words; JSON text where a schema was given.
    text: str = ""
    #: The tools it asks for.
    tool_calls: list[ToolCall] = field(default_factory=list)
    #: Why it stopped: `stop`, `tool-calls`, `length`, `filtered` or `other`.
    finish: str = "stop"
    #: What it took.
    usage: Usage = field(default_factory=Usage)
    #: The provider's name of the model that answered.
    model: str = ""

    def message(self) -> Message:
        """The answer as a turn of the conversation, to be asked on with."""
        words: list[Part] = [self.text] if self.text or not self.tool_calls else []
        return Message("assistant", [*words, *self.tool_calls])


@dataclass
class Request:
    """What a model is asked; `chat` and `stream` make it."""

    #: The conversation so far, the oldest first.
    messages: list[Message]
    #: A name that the grant lists. None: the first it lists.
    model: str | None = None
    #: The tools it may ask for. Calling them is the agent's work.
    tools: list[ToolSpec] = field(default_factory=list)
    #: JSON Schema that the answer's text must match, once read as JSON.
    schema: Any = None
    #: 0 for the likeliest words; none: the model's own.
    temperature: float | None = None
    #: The most it may write; the host has a limit of its own.
    max_output_tokens: int | None = None


def _request(messages: str | Iterable[Message], options: dict[str, Any]) -> Request:
    conversation = [user(messages)] if isinstance(messages, str) else list(messages)
    return Request(conversation, **options)


def chat(messages: str | Iterable[Message], **options: Any) -> Response:
    """Asks, and waits for the whole answer. A text is one message of the user. The options are the members of `Request`."""
    return _host.host.model_chat(_request(messages, options))


def stream(messages: str | Iterable[Message], **options: Any) -> Iterator[str | ToolCall | Response]:
    """Asks, and gives the answer piece by piece: words, tools it asks for, and at the end the whole `Response`. Leaving the
    loop early gives up the rest, which may be paid for all the same."""
    return _host.host.model_stream(_request(messages, options))


def embed(texts: Iterable[str], model: str | None = None) -> list[list[float]]:
    """The meanings of texts as vectors, in the same order."""
    return _host.host.model_embed(model, list(texts))
