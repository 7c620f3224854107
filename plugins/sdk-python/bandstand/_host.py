"""The host that this process has: the real one on wasm, else the fake one."""

import sys

if sys.platform == "wasi":
    from . import _wasm as host
else:
    from . import fake as host  # type: ignore[no-redef]

__all__ = ["host"]
