"""Which request is being worked on, so that whatever is logged meanwhile can say so."""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the call or HTTP request that this task, or this call in a worker thread, belongs to; "" for none.

The doors set it; `logging` reads it. The writer's thread works for many at once and has none.
"""

trace_id: ContextVar[str] = ContextVar("trace_id", default="")
"""The id of the W3C trace that the same work belongs to, 32 hexadecimal digits; "" where nothing is traced."""

VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""The HTTP methods that metrics and spans name. Callers can send any word; the others are counted together."""
