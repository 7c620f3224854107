"""One HTTP request at a time. Needs the grant `http`, which lists origins, and `http` among the plugin's `uses`. No redirect is
followed and no connection is kept. A secret is named by its placeholder, `{secret:NAME}`, in a header's value; the host puts the
value there. Without a response an `HttpError` is raised."""

from __future__ import annotations

import json as _json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import _host
from .failure import HttpError


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
    response_bytes_max: int = 1 << 20


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
        """The body as JSON; what is none raises a `ValueError`."""
        return _json.loads(self.text())


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: str | bytes | None = None,
    timeout_ms: int | None = None,
    response_bytes_max: int = 1 << 20,
) -> Response:
    """Sends the request and waits for the whole response. A status is no error. A text is sent in UTF-8; of JSON it is
    `json.dumps(..)`. See `Request`."""
    take_apart(url)
    pairs = [(name, str(value)) for name, value in (headers.items() if isinstance(headers, Mapping) else headers)]
    body = body.encode() if isinstance(body, str) else body
    return _host.host.http_send(Request(method.upper(), url, pairs, body, timeout_ms, response_bytes_max))


def get(url: str, **options: Any) -> Response:
    """A `request` of the method GET."""
    return request("GET", url, **options)


def post(url: str, body: str | bytes, **options: Any) -> Response:
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
        return HttpError("url-invalid", f"`{url}` is no URL to call: {what}")

    scheme, apart, rest = url.partition("://")
    if not apart:
        raise wrong("it begins with `https://` or `http://`")
    if scheme.lower() not in ("http", "https"):
        raise wrong("only `https` and `http` can be called")
    if any(char.isspace() or ord(char) < 32 or 127 <= ord(char) < 160 or char == "\\" for char in url):
        raise wrong("it holds spaces, control characters or backslashes; encode them")
    rest = rest.partition("#")[0]
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    if not authority:
        raise wrong("it names no host")
    if "@" in authority:
        raise wrong("a name and a password belong into a header")
    return Url(scheme.lower() == "https", authority, path if path.startswith("/") else f"/{path}")
