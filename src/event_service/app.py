"""The composition root: the only module that knows all parts. `build(settings)` returns an App that starts and stops.

Parts stop in the opposite order of their start, also if a start fails half-way:
telemetry > database > thread pools > reader, writer > webhooks > events > health check > gRPC server > HTTP server.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path

from event_service.alerts.changes import AlertChanges
from event_service.alerts.manager import AlertManager
from event_service.alerts.rate_reports import AlertRateReports
from event_service.alerts.upkeep import LEASE_SECONDS, AlertUpkeep
from event_service.alerts.watch import AlertWatcher
from event_service.assembly import (
    grpc_services,
    http_tls,
    measured,
    on_resolved,
    register_gauges,
    web_application,
)
from event_service.concurrency.group_commit import GroupCommit
from event_service.concurrency.thread_pool import ThreadPool
from event_service.errors import Unavailable
from event_service.events.alert_rules import AlertRules
from event_service.events.committer import Committer, OnResolved
from event_service.events.delivery import DeliveryParser
from event_service.events.export import Exporter
from event_service.events.manager import EventManager
from event_service.events.tracing import traced_admission, traced_commit, traced_parser
from event_service.events.watch import Watcher
from event_service.events.write_request import CreateResult, WriteRequest
from event_service.http.fetcher import Fetcher
from event_service.http.server import HttpServer
from event_service.identity.authenticator import make_authenticator
from event_service.model.retention import Retention
from event_service.normalize import delivery_hooks
from event_service.normalize.remote_plugin import RemotePlugins
from event_service.rpc.address import PortTaken
from event_service.rpc.server import GrpcServer
from event_service.settings import Settings
from event_service.store import client
from event_service.store.alert_reader import AlertReader
from event_service.store.alerts import AlertStore
from event_service.store.change_stream import ChangeStream
from event_service.store.command_spans import CommandSpans
from event_service.store.conditions import ConditionStore
from event_service.store.database_clock import DatabaseClock
from event_service.store.driver_errors import database_errors
from event_service.store.embedded.database import EmbeddedDatabase
from event_service.store.event_reader import EventReader, SharedEventReader
from event_service.store.event_writer import EventWriter
from event_service.store.export_reader import ExportReader
from event_service.store.health_check import HealthCheck
from event_service.store.idempotency_keys import IdempotencyStore
from event_service.store.indexes import ensure
from event_service.store.lease import Leases
from event_service.store.maintenance import alert_fields
from event_service.store.open_alerts import OpenAlerts
from event_service.store.reply_limit import ReplyLimit
from event_service.store.requirements.check import check_database, missing_right
from event_service.store.transaction import transaction
from event_service.store.webhooks import WebhookStore
from event_service.telemetry.metrics import Metrics
from event_service.telemetry.otlp_metrics import start_metrics
from event_service.telemetry.siblings import Siblings
from event_service.telemetry.tracing import Tracing, start_tracing, stop_within
from event_service.webhooks.encryption import Encryptor
from event_service.webhooks.manager import WebhookManager
from event_service.webhooks.plugins import Plugins
from event_service.webhooks.rate_limit import WebhookRateLimit
from event_service.worker import Worker

DATABASE_SECONDS = 30.0

# Shares of the grace period: for the parts that stop after the servers, and for the process to exit.
_RESERVE_SECONDS = 2.0
_EXIT_SECONDS = 0.5

# Longest and shortest time to export the last traces and metrics; the shortest applies after the grace period.
_TELEMETRY_SECONDS = (3.0, 0.5)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of a started service: HOST:PORT of gRPC, and the HTTP URL without a trailing slash."""

    grpc: str
    http: str


@dataclass(frozen=True, slots=True)
class _ThreadPools:
    reads: ThreadPool
    webhooks: ThreadPool
    large: ThreadPool
    json: ThreadPool


class App:
    """One service. A process may hold several.

    Args:
        worker: this process, if it is one of several that serve the same ports.
    """

    def __init__(self, settings: Settings, worker: Worker | None = None) -> None:
        self._settings = settings
        self._worker = worker
        self._parts = contextlib.AsyncExitStack()
        self._addresses: Addresses | None = None
        self._http: HttpServer | None = None
        self._stop_at: float | None = None

    @property
    def addresses(self) -> Addresses:
        """Return the addresses it listens on; available after `start`."""
        if self._addresses is None:
            raise RuntimeError("the service has not been started")
        return self._addresses

    async def start(self) -> None:
        """Start all parts; return when calls are answered.

        Raises:
            EmbeddedDatabaseError, DatabaseSettingsError, KeySetError, SecretKeyError, TlsError, PortTaken: with one
                line for the operator. Parts that were started are stopped again.
        """
        async with contextlib.AsyncExitStack() as parts:
            await self._setup(parts)
            self._parts = parts.pop_all()

    async def stop(self) -> None:
        """Accept no more calls, answer those in flight, write the queue, and stop. Idempotent.

        Takes at most `grace_seconds`, not counting the embedded database's shutdown. Calls that are not answered in
        time end with Unavailable.
        """
        if self._stop_at is None:
            grace = self._settings.grace_seconds
            self._stop_at = time.monotonic() + grace - min(_EXIT_SECONDS, grace / 4)
        await self._parts.aclose()

    async def _setup(self, parts: contextlib.AsyncExitStack) -> None:
        settings = self._settings
        metrics = Metrics(version("event-service"))
        tracing = self._start_telemetry(metrics, parts)
        await self._join_siblings(metrics, parts)
        authenticator = make_authenticator(settings)
        encryptor = Encryptor.from_settings(settings)

        clock = DatabaseClock()
        database = await self._connect(tracing, clock, parts)
        timeout_ms = settings.query_timeout_ms
        parts.callback(alert_fields.complete_in_background(database, timeout_ms).stop)
        threads = _start_thread_pools(settings, parts)

        limit = ReplyLimit(settings.list_limit, settings.max_reply_bytes)
        reader = EventReader(database["event"], limit=limit, max_time_ms=timeout_ms, clock=clock)
        parts.callback(reader.close)
        alert_reader = AlertReader(database, limit=limit, max_time_ms=timeout_ms)
        committer = _committer(database, timeout_ms, clock, on_resolved(metrics))
        writer: GroupCommit[WriteRequest, CreateResult] = GroupCommit(
            measured(traced_commit(tracing, committer), [reader, alert_reader], metrics),
            size_of=lambda item: item.size,
            key_of=lambda item: item.key,
            count_of=lambda item: item.left,
            queue_items=settings.write_queue,
            time_limit=client.time_limit,
        )
        parts.push_async_callback(lambda: writer.close(self._left()))
        admission = traced_admission(tracing)(
            writer, WebhookRateLimit(settings.webhook_rate, settings.webhook_burst), metrics
        )

        remote = _remote_plugins(settings, threads.large)
        parts.push_async_callback(remote.close)
        webhooks = WebhookManager(
            store=WebhookStore(database, timeout_ms, limit=limit, clock=clock),
            threads=threads.webhooks,
            encryptor=encryptor,
            plugins=Plugins(settings.plugin_endpoints, remote),
            base_url=self._base_url,
            clock=clock,
            run_in_thread=threads.large.run,
        )
        webhooks.start()
        parts.push_async_callback(lambda: _at_most(self._left(), webhooks.close()))

        parser = _delivery_parser(settings, tracing, remote, threads.large)
        retention = Retention(settings.retention_days, settings.retention_by_severity)
        events = EventManager(
            webhooks=webhooks,
            deliveries=parser,
            admission=admission,
            reader=SharedEventReader(reader, threads.reads),
            clock=clock,
            rules=_alert_rules(settings),
            idempotency=timedelta(hours=settings.idempotency_hours),
            same_body=timedelta(seconds=settings.same_body_seconds),
            max_event_bytes=settings.max_event_bytes,
            metrics=metrics,
            retention=retention,
        )

        def confirmed_at() -> datetime:
            return health_check.confirmed_at  # made after the gRPC server, whose status it sets

        watcher = Watcher(events, partial(ChangeStream, database["event"]), clock=clock, confirmed_at=confirmed_at)
        alert_store = AlertStore(database, timeout_ms)
        changes = AlertChanges(
            transaction=partial(transaction, database),
            alerts=alert_store,
            conditions=ConditionStore(database, timeout_ms),
            events=EventWriter(database, timeout_ms, clock),
            on_resolved=on_resolved(metrics),
        )
        open_alerts = OpenAlerts(database, timeout_ms)
        leases = Leases(database)
        parts.callback(leases.release)
        upkeep = AlertUpkeep(
            open_alerts,
            changes,
            metrics.open_alerts,
            clock=clock,
            may_resolve=partial(leases.acquire, "alerts without news", seconds=LEASE_SECONDS),
        )
        parts.callback(upkeep.start().stop)
        reports = AlertRateReports(
            open_alerts, alert_store, changes, retention, clock=clock, on_stored=lambda: metrics.events(stored=1)
        )
        parts.callback(reports.start().stop)
        alerts = AlertManager(reader=alert_reader, changes=changes, threads=threads.reads, clock=clock)
        alert_watcher = AlertWatcher(
            alerts,
            partial(ChangeStream, database["alert"], operations=("insert", "update")),
            clock=clock,
            confirmed_at=confirmed_at,
        )

        services = grpc_services(
            settings,
            events,
            webhooks,
            alerts,
            parser,
            exporter=Exporter(
                ExportReader(database["event"], max_time_ms=timeout_ms, clock=clock), threads.reads.run_for, clock=clock
            ),
            watcher=watcher,
            alert_watcher=alert_watcher,
            clock=clock,
        )
        grpc_server = GrpcServer(
            settings,
            services,
            authenticator,
            observe=metrics.rpc,
            span=tracing.rpc if tracing else None,
            reuse_port=self._worker is not None,
        )
        register_gauges(metrics, writer, threads.reads, grpc_server, lambda: clock.skew)
        application = web_application(
            settings,
            events=events,
            webhooks=webhooks,
            authenticator=authenticator,
            services=services,
            grpc_server=grpc_server,
            metrics=metrics,
            tracing=tracing,
            watcher=watcher,
            alerts=alerts,
            alert_watcher=alert_watcher,
            run_in_thread=threads.json.run,
            clock=clock,
            clock_skew=lambda: clock.skew,
        )
        self._http = http_server = HttpServer(
            application, settings.http_address, tls=http_tls(settings), reuse_port=self._worker is not None
        )
        health_check = HealthCheck(
            database,
            clock,
            on_change=grpc_server.health.set,
            suspendables=[threads.reads, threads.webhooks, writer],
            last_success=lambda: writer.last_success_at,
        )
        await health_check.start()
        parts.push_async_callback(lambda: health_check.stop(self._left()))
        await self._start_servers(grpc_server, http_server, parts)

    def _left(self, reserve: float = 0.0) -> float:
        """Return the seconds left of the grace period, less `reserve`."""
        grace = self._settings.grace_seconds
        left = grace if self._stop_at is None else self._stop_at - time.monotonic()
        return max(left - min(reserve, grace / 4), 0.0)

    def _start_telemetry(self, metrics: Metrics, parts: contextlib.AsyncExitStack) -> Tracing | None:
        """Start the exporters that OTEL_* configure; they stop last, so that they export the stop too."""
        service_version = version("event-service")
        tracing = start_tracing(service_version, os.environ)
        pusher = start_metrics(service_version, os.environ, metrics.collect)
        for part in (tracing, pusher):
            if part is not None:
                parts.push_async_callback(self._export_last, part.stop)
        return tracing

    async def _join_siblings(self, metrics: Metrics, parts: contextlib.AsyncExitStack) -> None:
        if self._worker is None:
            return
        siblings = Siblings(Path(self._worker.directory), self._worker.number, metrics.collect)
        await siblings.start()
        parts.push_async_callback(siblings.stop)
        metrics.join(siblings)

    async def _export_last(self, stop: Callable[[], None]) -> None:
        longest, shortest = _TELEMETRY_SECONDS
        await stop_within(max(min(self._left(), longest), shortest), stop)

    async def _connect(
        self, tracing: Tracing | None, clock: DatabaseClock, parts: contextlib.AsyncExitStack
    ) -> client.Database:
        """Connect to the database of the settings, or to the embedded one; check it and create its indexes."""
        configured_uri = self._settings.mongodb_uri.get_secret_value()
        if configured_uri or self._worker is None:
            uri = configured_uri or await self._start_embedded(parts)
        else:
            uri = self._worker.mongodb_uri
        database = client.connect(self._settings, uri, listeners=[CommandSpans(tracing)] if tracing else [])
        parts.callback(lambda: client.close(database, self._left()))
        stopped = threading.Event()
        parts.callback(stopped.set)
        await asyncio.to_thread(_prepare_database, database, configured_uri, clock, stopped)
        return database

    async def _start_embedded(self, parts: contextlib.AsyncExitStack) -> str:
        settings = self._settings
        embedded = EmbeddedDatabase(settings.data_dir, mongod=settings.mongod, cache_mb=settings.mongod_cache_mb)
        parts.push_async_callback(asyncio.to_thread, embedded.stop)
        return await asyncio.to_thread(embedded.start)

    async def _start_servers(
        self, grpc_server: GrpcServer, http_server: HttpServer, parts: contextlib.AsyncExitStack
    ) -> None:
        settings = self._settings

        async def stop_both() -> None:
            grace = self._left(_RESERVE_SECONDS)
            await asyncio.gather(grpc_server.stop(grace), http_server.stop(grace))

        await grpc_server.start()
        parts.push_async_callback(stop_both)
        try:
            await http_server.start()
        except (OSError, ValueError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            raise PortTaken(f"cannot listen on {settings.http_address}: {reason}") from error
        self._addresses = Addresses(
            _with_port(settings.grpc_address, grpc_server.port), _http_url(settings, http_server)
        )

    def _base_url(self) -> str:
        if self._settings.public_url:
            return self._settings.public_url.rstrip("/")
        if self._http is None:
            raise RuntimeError("the service has not been started")
        return _http_url(self._settings, self._http)


def build(settings: Settings, worker: Worker | None = None) -> App:
    """Return a service with these settings, not started yet."""
    return App(settings, worker)


def _start_thread_pools(settings: Settings, parts: contextlib.AsyncExitStack) -> _ThreadPools:
    pools = _ThreadPools(
        reads=ThreadPool(settings.read_threads),
        # A create looks up its webhook and must not wait behind slow lists.
        webhooks=ThreadPool(2, name="webhooks"),
        # A single thread, so that large payloads delay each other and no other call.
        large=ThreadPool(1, threads=1, name="large"),
        # Apart from `large`: this parses unauthenticated JSON, since CreateBatch over HTTP has its credentials in it.
        json=ThreadPool(1, threads=1, name="json"),
    )
    for pool in (pools.reads, pools.webhooks, pools.large, pools.json):
        parts.callback(pool.close)
    return pools


def _committer(
    database: client.Database,
    timeout_ms: int,
    clock: DatabaseClock,
    on_resolved: OnResolved,
) -> Committer:
    return Committer(
        transaction=partial(transaction, database),
        conditions=ConditionStore(database, timeout_ms),
        alerts=AlertStore(database, timeout_ms),
        events=EventWriter(database, timeout_ms, clock),
        records=IdempotencyStore(database, timeout_ms),
        on_resolved=on_resolved,
    )


def _remote_plugins(settings: Settings, threads: ThreadPool) -> RemotePlugins:
    return RemotePlugins(
        timeout=settings.plugin_timeout_seconds,
        allowed_hosts=[host.strip() for host in settings.plugin_endpoint_hosts.split(",") if host.strip()],
        known_endpoints=settings.plugin_endpoints.values(),
        run_in_thread=threads.run,
    )


def _delivery_parser(
    settings: Settings, tracing: Tracing | None, remote: RemotePlugins, threads: ThreadPool
) -> DeliveryParser:
    return traced_parser(tracing)(
        remote=remote,
        hooks=delivery_hooks(Fetcher()),
        endpoints=settings.plugin_endpoints,
        threads=threads,
    )


def _alert_rules(settings: Settings) -> AlertRules:
    return AlertRules(
        duplicate_event_time=timedelta(seconds=settings.duplicate_event_time),
        store_unmatched_recovery=settings.store_unmatched_recovery,
        alerts_per_minute=settings.alerts_per_minute,
    )


def _prepare_database(
    database: client.Database, configured_uri: str, clock: DatabaseClock, stopped: threading.Event
) -> None:
    """Check the database of a configured URI, create collections and indexes, and set the clock.

    Waits for a database that does not answer yet, as in a fresh cluster; raises errors that waiting does not cure.
    Ends when `stopped` is set: a cancelled start leaves this thread behind, and the process waits for it.
    """
    give_up_at = time.monotonic() + DATABASE_SECONDS
    while True:
        try:
            if configured_uri:
                check_database(database, configured_uri)
            ensure(database)
            with database_errors():
                clock.measure(database)
        except Unavailable as error:
            if (refusal := missing_right(error)) is not None:
                raise refusal from error
            if stopped.is_set() or time.monotonic() > give_up_at:
                raise
            _log.warning("the database does not answer yet: %s", error.__cause__ or error)
            stopped.wait(1)
        else:
            return


async def _at_most(seconds: float, closing: Awaitable[None]) -> None:
    try:
        await asyncio.wait_for(closing, seconds)
    except TimeoutError:
        _log.warning("the grace period is over; a part was stopped before it had finished")


def _http_url(settings: Settings, server: HttpServer) -> str:
    return f"{server.scheme}://{_with_port(settings.http_address, server.port)}"


def _with_port(address: str, port: int) -> str:
    """Return HOST:PORT with the port that a server bound, for a configured port 0."""
    host, _, configured = address.rpartition(":")
    return f"{host}:{port or configured}"
