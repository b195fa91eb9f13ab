"""OpenTelemetry traces: a span per rpc and HTTP request, with child spans for parsing, commits and the database.

Enabled by the standard OTEL_* environment variables: without them OpenTelemetry is not imported, and calls do not pass
through this module. Needs the extra `otel`.

Span names and attributes are methods, route templates, sizes and codes; no values that callers choose, and no paths,
since a webhook's path contains its access key. Errors appear as codes, never as texts.

Source: OpenTelemetry semantic conventions for RPC, HTTP and database spans (1.37); W3C Trace Context.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from event_service.telemetry.request import VERBS
from event_service.telemetry.request import trace_id as current_trace_id

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanContext

_log = logging.getLogger(__name__)

TRACE_ID = "trace_id"
"""Key of the trace id in the state of an HTTP request."""

_UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})  # probed every few seconds; their spans would only be noise
_SERVER_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
_CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip

ContextT = TypeVar("ContextT", bound="Context")
Scope = MutableMapping[str, Any]
AsgiApp = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class Context(Protocol):
    """The part of `rpc/context.py` that tracing needs; telemetry must not import rpc."""

    @property
    def method(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, str]: ...

    request_id: str
    trace_id: str


def wants(signal: str, environment: Mapping[str, str]) -> bool:
    """Return True if OTEL_* configures the export of a signal.

    Args:
        signal: TRACES or METRICS.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get(f"OTEL_{signal}_EXPORTER", "").strip().lower()
    if exporter:
        return exporter == "otlp"
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return any(environment.get(name) for name in endpoints)


def is_installed() -> bool:
    """Return True if the extra `otel` is installed, without importing it."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def resource(version: str, environment: Mapping[str, str]) -> "Resource":
    """Return the resource of exported data; service.name is `event-service` unless OTEL_* sets it."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - only where it is configured

    attributes = {"service.version": version}
    if not environment.get("OTEL_SERVICE_NAME") and "service.name=" not in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        attributes["service.name"] = "event-service"
    return Resource.create(attributes)


def start_tracing(version: str, environment: Mapping[str, str]) -> "Tracing | None":
    """Start the tracing that OTEL_* configures; return None without.

    Args:
        version: of this service.
    """
    if not wants("TRACES", environment):
        return None
    if not is_installed():
        _log.warning("OTEL_* configures traces, but OpenTelemetry is not installed: pip install 'event-service[otel]'")
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    warn_of_protocol(environment)
    provider = TracerProvider(resource=resource(version, environment), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider, version)


def warn_of_protocol(environment: Mapping[str, str]) -> None:
    """Log a warning if OTEL_* asks for an unsupported protocol."""
    protocol = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    if protocol != "http/protobuf":
        _log.warning("OTEL_EXPORTER_OTLP_PROTOCOL=%s is not supported; using http/protobuf", protocol)


class Tracing:
    """Opens the spans of one service.

    Args:
        provider: OpenTelemetry's.
        version: of this service.
    """

    def __init__(self, provider: "TracerProvider", version: str) -> None:
        from opentelemetry import propagate, trace  # noqa: PLC0415 - only where it is configured

        self._provider = provider
        self.tracer = provider.get_tracer("event_service", version)
        self._trace = trace
        self._extract = propagate.extract
        self._waiting: dict[int, SpanContext] = {}

    async def rpc(
        self, request: bytes, context: ContextT, call_next: Callable[[bytes, ContextT], Awaitable[bytes]]
    ) -> bytes:
        """Open the span of an rpc, with the caller's W3C context as parent. The outermost interceptor.

        A call without a request id takes the id of its trace.
        """
        service, _, method = context.method.lstrip("/").rpartition("/")
        inside_http = self._trace.get_current_span().get_span_context().is_valid
        with self.tracer.start_as_current_span(
            f"{service}/{method}",
            context=None if inside_http else self._extract(context.metadata),
            kind=self._trace.SpanKind.INTERNAL if inside_http else self._trace.SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            context.trace_id = identify(span)
            context.request_id = context.request_id or context.trace_id
            code = "OK"
            try:
                return await call_next(request, context)
            except asyncio.CancelledError:
                code = "CANCELLED"
                raise
            except Exception as error:
                code = str(getattr(error, "code", "UNKNOWN"))
                raise
            finally:
                if code in _CODES:
                    span.set_attribute("rpc.grpc.status_code", _CODES.index(code))
                if code in _SERVER_ERRORS:
                    self._fail(span, code)

    def http(self, app: AsgiApp) -> AsgiApp:
        """Wrap an ASGI application: a span for each request, named by its route's template."""

        async def traced(scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
            if scope["type"] != "http" or scope["path"] in _UNTRACED:
                await app(scope, receive, send)
                return
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            verb = scope["method"] if scope["method"] in VERBS else "_OTHER"
            with self.tracer.start_as_current_span(
                verb,
                context=self._extract(headers),
                kind=self._trace.SpanKind.SERVER,
                attributes={"http.request.method": verb, "url.scheme": scope["scheme"]},
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                scope.setdefault("state", {})[TRACE_ID] = identify(span)

                async def watched(message: Any) -> None:
                    if message["type"] == "http.response.start":
                        status = message["status"]
                        span.set_attribute("http.response.status_code", status)
                        if status >= 500:
                            self._fail(span, str(status))
                    await send(message)

                try:
                    await app(scope, receive, watched)
                finally:
                    route = getattr(scope.get("route"), "path", None)
                    if route is not None:
                        span.update_name(f"{verb} {route}")
                        span.set_attribute("http.route", route)

        return traced

    @contextmanager
    def span(self, name: str, **attributes: str | int) -> Iterator["Span"]:
        """Open a child span of the current one."""
        with self.tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except Exception as error:
                self._fail(span, type(error).__name__)
                raise

    def waiting(self, item: object, answer: "asyncio.Future[Any]", events: int) -> None:
        """Open a span for a queued item until its commit; the span of its batch links to it."""
        span = self.tracer.start_span("commit", attributes={"event_service.events": events})
        self._waiting[id(item)] = span.get_span_context()

        def answered(future: "asyncio.Future[Any]") -> None:
            self._waiting.pop(id(item), None)
            if not future.cancelled() and (error := future.exception()) is not None:
                self._fail(span, type(error).__name__)
            span.end()

        answer.add_done_callback(answered)

    @contextmanager
    def batch(self, items: Sequence[object]) -> Iterator[None]:
        """Open the span of a group commit: a trace of its own, with links to the spans of its items."""
        waiting = [self._waiting.get(id(item)) for item in items]
        links = [self._trace.Link(context) for context in waiting if context is not None]
        with self.tracer.start_as_current_span(
            "commit batch",
            links=links,
            attributes={"event_service.creates": len(items)},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:
                self._fail(span, type(error).__name__)
                raise

    def stop(self) -> None:
        """Export the remaining spans. Blocks."""
        self._provider.shutdown()

    def _fail(self, span: "Span", kind: str) -> None:
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.StatusCode.ERROR)


def identify(span: "Span") -> str:
    """Set the task's trace id for log records. Return it, 32 hexadecimal digits."""
    trace_id = format(span.get_span_context().trace_id, "032x")
    current_trace_id.set(trace_id)
    return trace_id


async def stop_within(seconds: float, stop: Callable[[], None]) -> None:
    """Run a blocking `stop` in a thread, and abandon it after `seconds`: the collector may not respond."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def finish() -> None:
        if not done.done():
            done.set_result(None)

    def run() -> None:
        stop()
        try:
            loop.call_soon_threadsafe(finish)
        except RuntimeError:  # the loop is closed: the time is over
            return

    threading.Thread(target=run, name="telemetry-stop", daemon=True).start()
    try:
        await asyncio.wait_for(done, seconds)
    except TimeoutError:
        _log.warning("the OpenTelemetry collector does not respond; the remaining traces and metrics are lost")
