"""Context variables of the current request, read by logging and tracing."""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the rpc or HTTP request of this task, or of this call in a worker thread; "" without.

The transports set it; `logging` reads it. The group commit's thread serves many requests and has none.
"""

trace_id: ContextVar[str] = ContextVar("trace_id", default="")
"""The id of the W3C trace, 32 hexadecimal digits; "" without tracing."""

VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""The HTTP methods in metrics and spans. Callers may send any other; those are counted together."""
