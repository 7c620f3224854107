"""A request by way of `wasi:http`, on wasm only and where the plugin's world has it: else importing this fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from componentize_py_types import Err, Ok
from wit_world.imports import host_http_types as types
from wit_world.imports import outgoing_handler, streams

from . import http
from .failure import HttpError

#: What is read or written in one call of the host. Bytes; streams of WASI take no more than 4096 at once to write.
_READ_BYTES = 64 << 10
_WRITE_BYTES = 4 << 10

#: Errors of `wasi:http` after which the same request can end otherwise.
_TRANSIENT = {
    "dns-timeout",
    "dns-error",
    "destination-not-found",
    "destination-unavailable",
    "destination-ip-unroutable",
    "connection-refused",
    "connection-terminated",
    "connection-timeout",
    "connection-read-timeout",
    "connection-write-timeout",
    "connection-limit-reached",
    "tls-protocol-error",
    "tls-alert-received",
    "http-response-incomplete",
    "http-response-timeout",
    "http-protocol-error",
    "internal-error",
}


def send(request: http.Request) -> http.Response:
    """See `http.request`."""
    outgoing = _outgoing(request)
    with _given_back(outgoing):
        body = None if request.body is None else _ask(_internal("no body"), outgoing.body)
    with _given_back(body):
        with _given_back(outgoing):
            options = _options(request.timeout_ms)
        future = _ask(_no_response, outgoing_handler.handle, outgoing, options)
    with future:
        if body is not None:
            _write(body, request.body or b"")
        with future.subscribe() as ready:
            ready.block()
        given = future.get()
    if not isinstance(given, Ok):
        _internal("the response was taken already")()
    if isinstance(given.value, Err):
        _no_response(given.value.value)
    with given.value.value as response:
        return _read(response, request.response_bytes_max)


@contextmanager
def _given_back(handle: Any) -> Iterator[None]:
    """Where what is done with a handle fails, which else goes on to the host, it is given back at once. An exception that
    is kept would keep it, by the frames of its traceback."""
    try:
        yield
    except BaseException:
        if handle is not None:
            _give_back(handle)
        raise


def _give_back(handle: Any) -> None:
    with handle:
        pass


def _outgoing(request: http.Request) -> Any:
    url = http.take_apart(request.url)
    outgoing = types.OutgoingRequest(_fields(request))
    with _given_back(outgoing):
        known = getattr(types, f"Method_{request.method.capitalize()}", None)
        method = known() if known and request.method != "OTHER" else types.Method_Other(request.method)
        _ask(_wrong("method"), outgoing.set_method, method)
        _ask(_wrong("scheme"), outgoing.set_scheme, types.Scheme_Https() if url.is_https else types.Scheme_Http())
        _ask(_wrong("host"), outgoing.set_authority, url.authority)
        _ask(_wrong("path"), outgoing.set_path_with_query, url.path_and_query)
    return outgoing


def _fields(request: http.Request) -> Any:
    fields = types.Fields()
    with _given_back(fields):
        # Said here, once: without it the host would send the body in chunks, which some servers refuse.
        for name, value in request.headers:
            if name.lower() != "content-length":
                _ask(_refusing(name), fields.append, name, value.encode())
        if request.body is not None:
            fields.set("content-length", [str(len(request.body)).encode()])
    return fields


def _options(timeout_ms: int | None) -> Any:
    if timeout_ms is None:
        return None
    options = types.RequestOptions()
    with _given_back(options):
        for set in (options.set_connect_timeout, options.set_first_byte_timeout, options.set_between_bytes_timeout):
            _ask(_internal("the host takes no timeout"), set, timeout_ms * 1_000_000)
    return options


def _write(body: Any, data: bytes) -> None:
    """The host reads the body while it is written. A server that answers before it has read everything is no error."""
    try:
        with _given_back(body), _ask(_internal("no stream to write to"), body.write) as stream:
            for at in range(0, len(data), _WRITE_BYTES):
                stream.blocking_write_and_flush(data[at : at + _WRITE_BYTES])
        # This takes the body, whatever comes of it.
        types.OutgoingBody.finish(body, None)
    except Err as error:
        if isinstance(error.value, streams.StreamError_LastOperationFailed):
            _give_back(error.value.value)


def _read(response: Any, bytes_max: int) -> http.Response:
    with response.headers() as fields:
        headers = [(name, value.decode(errors="replace")) for name, value in fields.entries()]
    data = bytearray()
    with _ask(_internal("the body was taken already"), response.consume) as body:
        with _ask(_internal("no stream to read from"), body.stream) as stream:
            while (piece := _piece(stream)) is not None:
                data += piece
                if len(data) > bytes_max:
                    raise HttpError("http-response-body-size", f"the response is larger than {bytes_max} bytes")
    return http.Response(response.status(), headers, bytes(data))


def _piece(stream: Any) -> bytes | None:
    """None at the end; raises where it broke off before."""
    try:
        return stream.blocking_read(_READ_BYTES)
    except Err as error:
        if isinstance(error.value, streams.StreamError_Closed):
            return None
        cause = error.value.value
    with cause:
        code = types.http_error_code(cause)
        # The host knows more than it says here; its first line is what went wrong, the rest is where.
        message = cause.to_debug_string().split("\n", 1)[0]
    if code is not None:
        _no_response(code)
    too_large = "size exceeds limit" in message
    code = "http-response-body-size" if too_large else "connection-terminated"
    raise HttpError(code, message, is_transient=not too_large)


def _ask(otherwise: Callable[[Any], NoReturn], function: Any, *args: Any) -> Any:
    """Calls a function of WASI; `otherwise` raises what its refusal means."""
    try:
        return function(*args)
    except Err as error:
        told = error.value
    otherwise(told)


def _word(case: Any) -> str:
    """A case of a variant as WIT writes it, in small letters: `ErrorCode_DnsTimeout` is `dns-timeout`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(case).__name__.split("_", 1)[1]).lower()


def _no_response(case: Any) -> NoReturn:
    code = _word(case)
    raise HttpError(code, f"no response: {code.replace('-', ' ')}", code in _TRANSIENT)


def _internal(what: str) -> Callable[..., NoReturn]:
    def otherwise(_: Any = None) -> NoReturn:
        raise HttpError("internal-error", what)

    return otherwise


def _wrong(what: str) -> Callable[[Any], NoReturn]:
    def otherwise(_: Any) -> NoReturn:
        raise HttpError("http-request-uri-invalid", f"the request's {what} is not valid")

    return otherwise


def _refusing(name: str) -> Callable[[Any], NoReturn]:
    def otherwise(problem: Any) -> NoReturn:
        raise HttpError("header-refused", f"the header `{name}` cannot be sent: {_word(problem).replace('-', ' ')}")

    return otherwise
