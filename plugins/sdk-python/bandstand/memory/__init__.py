"""The host's memory: what happened (`audit`), what is known (`facts`), what is at hand (`slots`). Needs the grant `memory`,
and `memory-audit`, `memory-facts` or `memory-slots` among the plugin's `uses`. What the host refuses is a `HostError`."""

from . import audit, facts, slots

__all__ = ["audit", "facts", "slots"]
