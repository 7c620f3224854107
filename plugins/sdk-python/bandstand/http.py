"""One HTTP request at a time. Needs the grant `http`, which lists origins, and `http` among the plugin's `uses`. No redirect is
followed and no connection is kept. A secret is named by its placeholder, `{secret:NAME}`, in a header's value; the host puts the
value there. Without a response an `HttpError` is raised."""

from __future__ import annotations

import json as _json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import _host
from .failure import HttpError

#: The largest response body that is read when nobody says. Bytes.
_RESPONSE_BYTES_MAX = 1 << 20

#: The longest time that the host has a number for: it counts nanoseconds in 64 bits. Milliseconds.
_TIMEOUT_MS_MAX = (2**64 - 1) // 1_000_000


@dataclass
class Request:
    """What is sent; `request` makes it."""

    #: In capitals.
    method: str
    #: Where to.
    url: str
    #: Names and values, in order.
    headers: list[tuple[str, str]] = field(default_factory=list)
    #: None for methods that have none.
    body: bytes | None = None
    #: The longest time to the first byte, and between any two; none: the host's own.
    timeout_ms: int | None = None
    #: The largest response body that is read.
    response_bytes_max: float = _RESPONSE_BYTES_MAX


@dataclass
class Response:
    """What came back, whatever its status."""

    #: 100 to 599.
    status: int = 200
    #: Names in small letters and values, in the server's order.
    headers: list[tuple[str, str]] = field(default_factory=list)
    #: The body, whole.
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The value of the first header of that name."""
        return next((value for known, value in self.headers if known.lower() == name.lower()), None)

    def text(self) -> str:
        """The body as UTF-8; what is no character becomes U+FFFD."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body as JSON; what is none raises an `HttpError` with the code `response-not-json`."""
        try:
            return _json.loads(self.text())
        except ValueError as error:
            message = f"the response of status {self.status} is not JSON: {error}"
            raise HttpError("response-not-json", message) from None


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: str | bytes | bytearray | memoryview | None = None,
    timeout_ms: float | None = None,
    response_bytes_max: float | None = None,
) -> Response:
    """Sends the request and waits for the whole response. A status is no error. A text is sent in UTF-8; of JSON it is
    `json.dumps(..)`. `math.inf` is a number without an end. See `Request`."""
    # What the bindings cannot bring to the host traps there, without a word of where: so everything is checked here.
    take_apart(url)
    if not _is_well_formed(method):
        raise HttpError("http-request-uri-invalid", "the request's method is not valid")
    pairs = [_header(*pair) for pair in (headers.items() if isinstance(headers, Mapping) else headers)]
    bytes_max = _RESPONSE_BYTES_MAX if response_bytes_max is None else response_bytes_max
    _must_not_be_negative("response_bytes_max", bytes_max)
    return _host.host.http_send(Request(method.upper(), url, pairs, _bytes(body), _span(timeout_ms), bytes_max))


def _header(name: str, value: str) -> tuple[str, str]:
    if not isinstance(name, str):
        raise TypeError(f"a header's name is a text, not {type(name).__name__}")
    if not isinstance(value, str | int | float):
        raise TypeError(f"the value of the header `{name}` is a text, not {type(value).__name__}")
    if not _is_well_formed(name) or not _is_well_formed(str(value)):
        raise HttpError("header-refused", f"the header {ascii(name)} cannot be sent: half of a character")
    return name, str(value)


def _bytes(body: Any) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    raise TypeError(f"a body is a text or bytes, not {type(body).__name__}; of JSON it is json.dumps(..)")


def _span(timeout_ms: float | None) -> int | None:
    """Whole milliseconds; none where there is no end."""
    if timeout_ms is None:
        return None
    _must_not_be_negative("timeout_ms", timeout_ms)
    return None if timeout_ms == math.inf else math.ceil(min(timeout_ms, _TIMEOUT_MS_MAX))


def _must_not_be_negative(name: str, value: float) -> None:
    if not isinstance(value, int | float):
        raise TypeError(f"`{name}` is a number, not {type(value).__name__}")
    if not value >= 0:
        raise ValueError(f"`{name}` is 0 or more, not {value}")


def _is_well_formed(text: str) -> bool:
    """Whether no half of a character stands in it: such a text has no bytes in UTF-8."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def get(url: str, **options: Any) -> Response:
    """A `request` of the method GET."""
    return request("GET", url, **options)


def post(url: str, body: str | bytes | bytearray | memoryview, **options: Any) -> Response:
    """A `request` of the method POST."""
    return request("POST", url, body=body, **options)


class Url(NamedTuple):
    """Scheme, authority and path of a URL, as far as a request needs them."""

    is_https: bool
    authority: str
    #: Begins with `/`; with the query, without the fragment.
    path_and_query: str


def take_apart(url: str) -> Url:
    """Which hosts are good ones is the host's to say."""

    def wrong(what: str) -> HttpError:
        shown = url.encode(errors="replace").decode()
        return HttpError("url-invalid", f"`{shown}` is no URL to call: {what}")

    scheme, apart, rest = url.partition("://")
    if not apart:
        raise wrong("it begins with `https://` or `http://`")
    if scheme.lower() not in ("http", "https"):
        raise wrong("only `https` and `http` can be called")
    if any(char.isspace() or ord(char) < 32 or 127 <= ord(char) < 160 or char == "\\" for char in url):
        raise wrong("it holds spaces, control characters or backslashes; encode them")
    if not _is_well_formed(url):
        raise wrong("it holds half of a character")
    rest = rest.partition("#")[0]
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    if not authority:
        raise wrong("it names no host")
    if "@" in authority:
        raise wrong("a name and a password belong into a header")
    return Url(scheme.lower() == "https", authority, path if path.startswith("/") else f"/{path}")
