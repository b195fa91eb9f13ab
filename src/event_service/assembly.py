"""Build the service tables of gRPC and HTTP for `app.py`. Nothing is started here."""

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from importlib.metadata import version

from starlette.routing import BaseRoute

from event_service.alerts.manager import AlertManager
from event_service.alerts.watch import AlertWatcher
from event_service.concurrency.group_commit import Commit, GroupCommit
from event_service.concurrency.thread_pool import RunInThread, ThreadPool
from event_service.events.committer import OnResolved
from event_service.events.delivery import DeliveryParser
from event_service.events.export import Exporter
from event_service.events.manager import EventManager
from event_service.events.preview import Previewer
from event_service.events.replay import Replayer
from event_service.events.watch import Watcher
from event_service.events.write_request import CreateResult, WriteRequest
from event_service.http.app import build_app
from event_service.http.console import console_routes
from event_service.http.metrics import metrics_route
from event_service.identity.authenticator import Authenticator
from event_service.model.condition import Resolution
from event_service.rpc import (
    alert_servicer,
    alerts_servicer,
    event_servicer,
    events_servicer,
    ingest_servicer,
    webhook_servicer,
    webhooks_servicer,
)
from event_service.rpc.alert_servicer import AlertServicer
from event_service.rpc.alerts_servicer import AlertsServicer
from event_service.rpc.context import RpcContext
from event_service.rpc.event_servicer import EventServicer
from event_service.rpc.events_servicer import EventsServicer
from event_service.rpc.ingest_servicer import IngestServicer
from event_service.rpc.server import GrpcServer, Service
from event_service.rpc.webhook_servicer import WebhookServicer
from event_service.rpc.webhooks_servicer import WebhooksServicer
from event_service.settings import Settings
from event_service.store.alert_reader import AlertReader
from event_service.store.event_reader import EventReader
from event_service.telemetry.metrics import Metrics
from event_service.telemetry.tracing import AsgiApp, Tracing
from event_service.tls import server_context, tls_files
from event_service.webhooks.manager import WebhookManager
from event_service.wire.timestamps import Clock


def grpc_services(
    settings: Settings,
    events: EventManager,
    webhooks: WebhookManager,
    alerts: AlertManager,
    deliveries: DeliveryParser,
    *,
    exporter: Exporter,
    watcher: Watcher,
    alert_watcher: AlertWatcher,
    clock: Clock,
) -> list[Service]:
    """Return the services of both transports, each with the methods that authenticate by access key."""
    previewer = Previewer(
        webhooks=webhooks,
        deliveries=deliveries,
        max_event_bytes=settings.max_event_bytes,
        clock=clock,
    )
    decode = deliveries.run_in_thread
    replayer = Replayer(webhooks=webhooks, deliveries=deliveries, events=events, clock=clock)
    return [
        Service(event_servicer.DESCRIPTOR, EventServicer(events, decode, clock=clock), event_servicer.OPEN_METHODS),
        Service(ingest_servicer.DESCRIPTOR, IngestServicer(events, decode, clock=clock), ingest_servicer.OPEN_METHODS),
        Service(events_servicer.DESCRIPTOR, EventsServicer(replayer, watcher, exporter, decode)),
        Service(alert_servicer.DESCRIPTOR, AlertServicer(alerts, decode)),
        Service(alerts_servicer.DESCRIPTOR, AlertsServicer(alerts, alert_watcher, decode, clock=clock)),
        Service(webhook_servicer.DESCRIPTOR, WebhookServicer(webhooks, decode)),
        Service(
            webhooks_servicer.DESCRIPTOR,
            WebhooksServicer(webhooks, previewer),
            payload_methods=webhooks_servicer.PAYLOAD_METHODS,
        ),
    ]


def measured(
    committer: Commit[WriteRequest, CreateResult], readers: Sequence[EventReader | AlertReader], metrics: Metrics
) -> Commit[WriteRequest, CreateResult]:
    """Wrap the commit of the writer: invalidate the readers' caches, and record duration and failures."""

    def commit(batch: Sequence[WriteRequest]) -> Sequence[CreateResult | Exception | None]:
        started, failed, events = time.monotonic(), True, sum(item.left for item in batch)
        try:
            outcomes = committer(batch)
            failed = False
            events -= sum(item.left for item, one in zip(batch, outcomes, strict=True) if one is None)
        finally:
            metrics.commit(events, time.monotonic() - started, failed=failed)
        for reader in readers:
            reader.changed()
        return outcomes

    return commit


def on_resolved(metrics: Metrics) -> OnResolved:
    """Return the callback that records the ends of alerts."""

    def record(resolution: Resolution) -> None:
        if resolution.opened_at is not None:
            seconds = (resolution.received_at - resolution.opened_at).total_seconds()
            metrics.alert_resolved(resolution.reason, seconds)

    return record


def web_application(
    settings: Settings,
    *,
    events: EventManager,
    webhooks: WebhookManager,
    authenticator: Authenticator,
    services: Sequence[Service],
    grpc_server: GrpcServer,
    metrics: Metrics,
    tracing: Tracing | None,
    watcher: Watcher,
    alerts: AlertManager,
    alert_watcher: AlertWatcher,
    run_in_thread: RunInThread,
    clock: Clock,
    clock_skew: Callable[[], timedelta],
) -> AsgiApp:
    """Return the ASGI application of the HTTP server.

    Args:
        run_in_thread: parses large JSON in a thread.
    """
    routes: list[BaseRoute] = [metrics_route(metrics)] if settings.metrics else []
    service_version = version("event-service")
    if settings.console:
        routes += console_routes(
            settings,
            events=events,
            webhooks=webhooks,
            authenticator=authenticator,
            watcher=watcher,
            alerts=alerts,
            alert_watcher=alert_watcher,
            is_ready=lambda: grpc_server.health.serving,
            version=service_version,
            clock=clock,
        )
    application = build_app(
        settings,
        events=events,
        webhooks=webhooks,
        authenticator=authenticator,
        services=[service.descriptor for service in services],
        methods=grpc_server.methods,
        open_methods={
            f"/{service.descriptor.full_name}/{name}" for service in services for name in service.open_methods
        },
        request_limits=grpc_server.request_limits,
        new_call=_http_call,
        run_in_thread=run_in_thread,
        is_ready=lambda: grpc_server.health.serving,
        clock_skew=clock_skew,
        version=service_version,
        more_routes=routes,
        observe=metrics.request,
        clock=clock,
    )
    return application if tracing is None else tracing.http(application)


def register_gauges(
    metrics: Metrics,
    writer: GroupCommit[WriteRequest, CreateResult],
    threads: ThreadPool,
    grpc_server: GrpcServer,
    clock_skew: Callable[[], timedelta],
) -> None:
    """Register the gauges that are read at each scrape."""
    metrics.watch_queue(lambda: writer.depth, lambda: writer.depth_bytes)
    metrics.watch_reads(lambda: threads.pending)
    metrics.watch_calls(lambda: grpc_server.calls_in_flight)
    metrics.watch_clock(clock_skew)
    metrics.watch_database(lambda: grpc_server.health.serving)


def http_tls(settings: Settings) -> ssl.SSLContext | None:
    """Return the TLS context of the HTTP server; None for plain HTTP."""
    files = tls_files(settings)
    return server_context(files) if files is not None and settings.http_tls else None


def _http_call(method: str, metadata: Mapping[str, str], request_id: str) -> RpcContext:
    return RpcContext(method, metadata, request_id=request_id)
