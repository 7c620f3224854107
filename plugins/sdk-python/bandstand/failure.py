"""How an agent says that it could not do its work, and how the host says that it would not."""

from __future__ import annotations

from typing import Any


class Failure(Exception):
    """An attempt that failed, with its reason. Raise `Recoverable` or `Permanent`."""

    #: What the host calls this kind.
    kind = "permanent"

    def __init__(self, code: str, message: str, *, retry_after_ms: int | None = None, data: Any = None):
        """`code` is kebab-case, the agent's own: `text-empty`. `message` is for people. `data` is any JSON that the node
        which handles the failure may want to see."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.data = data


class Permanent(Failure):
    """The same input fails in the same way: no retry."""

    def __init__(self, code: str, message: str, *, data: Any = None):
        super().__init__(code, message, data=data)


class Recoverable(Failure):
    """Another attempt may help. `retry_after_ms` is the earliest sensible time for it, from now; the longer of this and
    the policy's delay wins."""

    kind = "recoverable"


class HostError(Exception):
    """The host did not do as asked. `kind` is the broad reason: `denied`, `invalid`, `not-found`, `limit`, `unavailable`,
    `cancelled` or `other`; `code` is the exact one."""

    def __init__(self, kind: str, code: str, message: str, retry_after_ms: int | None = None):
        super().__init__(f"{code}: {message}")
        self.kind = kind
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

    def failure(self) -> Failure:
        """The failure that an attempt ends with which does not handle this: recoverable where the host says that another
        try may help."""
        if self.kind in ("unavailable", "cancelled"):
            return Recoverable(self.code, self.message, retry_after_ms=self.retry_after_ms)
        return Permanent(self.code, self.message)


class HttpError(Exception):
    """There is no response to an HTTP request: not granted, no such host, no connection, no answer in time, too large. `code` is
    the name of the error in `wasi:http`: `http-request-denied`, `connection-refused`; or `url-invalid`, `header-refused`.
    `is_transient` says whether the same request can end otherwise."""

    def __init__(self, code: str, message: str, is_transient: bool = False):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.is_transient = is_transient

    def failure(self) -> Failure:
        """The failure that an attempt ends with which does not handle this."""
        return (Recoverable if self.is_transient else Permanent)(self.code, self.message)
