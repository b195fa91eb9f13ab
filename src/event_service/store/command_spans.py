"""An OpenTelemetry span for each MongoDB command, as a child of the request's span. Only if tracing is configured.

Spans omit `db.query.text`: it would contain callers' values and events.

Source: OpenTelemetry semantic conventions for MongoDB (1.37).
"""

from typing import TYPE_CHECKING

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from event_service.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from opentelemetry.trace import Span


class CommandSpans(CommandListener):
    """pymongo's command listener. Safe for many threads: request ids are unique."""

    def __init__(self, tracing: Tracing) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - optional dependency

        self._trace = trace
        self._tracer = tracing.tracer
        self._spans: dict[int, Span] = {}

    def started(self, event: CommandStartedEvent) -> None:
        """Start a span, unless the command belongs to no request (health check, delivery stats)."""
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
        """End the span."""
        if (span := self._spans.pop(event.request_id, None)) is not None:
            span.end()

    def failed(self, event: CommandFailedEvent) -> None:
        """End the span with the server's error code, or `connection`."""
        if (span := self._spans.pop(event.request_id, None)) is not None:
            code = event.failure.get("code")
            span.set_attribute("error.type", "connection" if code is None else str(code))
            span.set_status(self._trace.StatusCode.ERROR)
            span.end()
