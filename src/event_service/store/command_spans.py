"""A span for each command that the driver sends, below whatever asked for it. Only where tracing is configured.

The command's own text is not in it: it would hold what callers ask for, and events.

Source: OpenTelemetry semantic conventions for MongoDB (1.37).
"""

from typing import TYPE_CHECKING

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from event_service.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from opentelemetry.trace import Span


class CommandSpans(CommandListener):
    """Told by the driver, in the thread that waits for the answer. Safe for many threads: ids of requests differ."""

    def __init__(self, tracing: Tracing) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - only where it is configured

        self._trace = trace
        self._tracer = tracing.tracer
        self._spans: dict[int, Span] = {}

    def started(self, event: CommandStartedEvent) -> None:
        """A command is sent. What nobody's request has asked for (probes, counters) makes no span."""
        if not self._trace.get_current_span().get_span_context().is_valid:
            return
        collection = event.command.get(event.command_name)
        attributes = {
            "db.system.name": "mongodb",
            "db.namespace": event.database_name,
            "db.operation.name": event.command_name,
        }
        if isinstance(collection, str):
            attributes["db.collection.name"] = collection
        self._spans[event.request_id] = self._tracer.start_span(
            f"{event.command_name} {collection}" if isinstance(collection, str) else event.command_name,
            kind=self._trace.SpanKind.CLIENT,
            attributes=attributes,
        )

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """It was answered."""
        if (span := self._spans.pop(event.request_id, None)) is not None:
            span.end()

    def failed(self, event: CommandFailedEvent) -> None:
        """It was refused, or the connection broke."""
        if (span := self._spans.pop(event.request_id, None)) is not None:
            code = event.failure.get("code")
            span.set_attribute("error.type", "connection" if code is None else str(code))
            span.set_status(self._trace.StatusCode.ERROR)
            span.end()
