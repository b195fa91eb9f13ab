"""The composition root: the only place that knows all parts. `build(settings)` gives an App that starts and stops.

What is started is stopped in the opposite order, also where a start fails half-way:
embedded database > connection > indexes > writer, readers > managers > health > gRPC, HTTP.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version

from event_service.assembly import grpc_services, http_tls, measured, watch, web_application
from event_service.concurrency.group_commit import GroupCommit
from event_service.concurrency.thread_pool import ThreadPool
from event_service.errors import EventServiceError, Unavailable
from event_service.events.alert_rate_limit import AlertRateLimit
from event_service.events.alert_rate_report import AlertRateReports
from event_service.events.alert_rules import AlertRules
from event_service.events.committer import Committer
from event_service.events.export import Exporter
from event_service.events.manager import EventManager
from event_service.events.tracing import traced_admission, traced_commit, traced_parser
from event_service.events.watch import Watcher
from event_service.events.write_request import CreateResult, WriteRequest
from event_service.http.fetcher import Fetcher
from event_service.http.server import HttpServer
from event_service.identity.authenticator import make_authenticator
from event_service.model.retention import Retention
from event_service.normalize.remote_plugin import RemotePlugins
from event_service.normalize.sns_trust import SnsTrust
from event_service.rpc.server import GrpcServer, PortTaken
from event_service.settings import Settings
from event_service.store import client
from event_service.store.alerts import AlertStore
from event_service.store.change_stream import ChangeStream
from event_service.store.command_spans import CommandSpans
from event_service.store.conditions import ConditionStore
from event_service.store.embedded.database import EmbeddedDatabase
from event_service.store.event_reader import EventReader, SharedEventReader
from event_service.store.event_writer import EventWriter
from event_service.store.export_reader import ExportReader
from event_service.store.health_check import HealthCheck
from event_service.store.idempotency_keys import IdempotencyStore
from event_service.store.indexes import ensure
from event_service.store.requirements.check import check_database, missing_right
from event_service.store.webhooks import WebhookStore
from event_service.telemetry.metrics import Metrics
from event_service.telemetry.otlp_metrics import start_metrics
from event_service.telemetry.tracing import Tracing, start_tracing, stop_within
from event_service.webhooks.encryption import Encryptor
from event_service.webhooks.manager import WebhookManager
from event_service.webhooks.plugins import Plugins
from event_service.webhooks.rate_limit import WebhookRateLimit
from event_service.wire.timestamps import utc_now

RECOVER_EVERY_SECONDS = 60.0
DATABASE_SECONDS = 30.0

_RESERVE_SECONDS = 2.0
"""Of the grace period, for what is left to do when all calls are answered."""

_EXIT_SECONDS = 0.5
"""Of the grace period, for the process to end when everything has stopped."""

_TELEMETRY_SECONDS = (3.0, 0.5)
"""What the last traces, and the last metrics, may take on their way out; and where the grace period is over."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a started service listens: gRPC's HOST:PORT, and HTTP's URL without a slash at its end."""

    grpc: str
    http: str


class App:
    """One service. Several may live in one process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._parts = contextlib.AsyncExitStack()
        self._addresses: Addresses | None = None
        self._http: HttpServer | None = None
        self._stop_at: float | None = None

    @property
    def addresses(self) -> Addresses:
        """Where it listens. Only after `start`."""
        if self._addresses is None:
            raise RuntimeError("the service has not been started")
        return self._addresses

    async def start(self) -> None:
        """Starts everything; returns when calls are answered.

        Raises:
            EmbeddedDatabaseError, DatabaseSettingsError, KeySetError, SecretKeyError, TlsError, PortTaken: with one
                line for the operator. Whatever had been started is stopped again.
        """
        async with contextlib.AsyncExitStack() as parts:
            await self._start(parts)
            self._parts = parts.pop_all()

    async def stop(self) -> None:
        """Takes nothing more, answers what is under way, writes what is queued, and ends. May be called twice.

        All of it within `grace_seconds`, an embedded database's own end run_in_thread. What is not answered in time is
        answered Unavailable.
        """
        if self._stop_at is None:
            grace = self._settings.grace_seconds
            self._stop_at = time.monotonic() + grace - min(_EXIT_SECONDS, grace / 4)
        await self._parts.aclose()

    def _left(self, reserve: float = 0.0) -> float:
        """Seconds of the grace period that are left, less a reserve for what comes after."""
        grace = self._settings.grace_seconds
        left = grace if self._stop_at is None else self._stop_at - time.monotonic()
        return max(left - min(reserve, grace / 4), 0.0)

    async def _start(self, parts: contextlib.AsyncExitStack) -> None:
        settings = self._settings
        service_version = version("event-service")
        metrics = Metrics(service_version)
        tracing = self._telemetry(metrics, service_version, parts)
        authenticator = make_authenticator(settings)
        encryptor = Encryptor.from_settings(settings)

        database = await self._connect(tracing, parts)

        timeout_ms = settings.query_timeout_ms
        threads = ThreadPool(settings.read_threads)
        parts.callback(threads.close)
        # Of their own: a create looks its webhook up, and must not wait behind slow lists.
        webhook_threads = ThreadPool(2, name="webhooks")
        parts.callback(webhook_threads.close)
        # One: what is large waits for what is large, and all other calls for neither.
        large_threads = ThreadPool(1, name="large")
        parts.callback(large_threads.close)
        # Not the same: the credentials of a CreateBatch as JSON are in what is read here, so a stranger's is read too.
        json_threads = ThreadPool(1, name="json")
        parts.callback(json_threads.close)
        alert_rate_limit = AlertRateLimit()
        committer = Committer(
            conditions=ConditionStore(database, timeout_ms),
            alerts=AlertStore(database, timeout_ms),
            events=EventWriter(database, timeout_ms),
            claims=IdempotencyStore(database, timeout_ms),
            alert_rate_limit=alert_rate_limit,
        )
        reader = EventReader(database["event"], list_limit=settings.list_limit, max_time_ms=timeout_ms)
        parts.callback(reader.close)

        writer: GroupCommit[WriteRequest, CreateResult] = GroupCommit(
            measured(traced_commit(tracing, committer), reader, metrics),
            size_of=lambda item: item.size,
            count_of=lambda item: len(item.entries),
            queue_items=settings.write_queue,
            time_limit=client.time_limit,
        )
        parts.push_async_callback(lambda: writer.close(self._left()))
        mending = recover_periodically(committer.recover, threads, RECOVER_EVERY_SECONDS)
        parts.push_async_callback(_cancel, asyncio.create_task(mending))

        door = traced_admission(tracing)(
            writer, WebhookRateLimit(settings.webhook_rate, settings.webhook_burst), metrics
        )
        remote = RemotePlugins(
            timeout=settings.plugin_timeout_seconds,
            allowed_hosts=[host.strip() for host in settings.plugin_endpoint_hosts.split(",") if host.strip()],
            known_endpoints=settings.plugin_endpoints.values(),
        )
        parts.push_async_callback(remote.close)
        webhooks = WebhookManager(
            store=WebhookStore(database, timeout_ms, list_limit=settings.list_limit),
            threads=webhook_threads,
            encryptor=encryptor,
            plugins=Plugins(settings.plugin_endpoints, remote),
            base_url=self._base_url,
            admit=door.admit,
        )
        webhooks.start()
        parts.push_async_callback(lambda: _at_most(self._left(), webhooks.close()))
        deliveries = traced_parser(tracing)(
            remote=remote,
            sns=SnsTrust(Fetcher()),
            endpoints=settings.plugin_endpoints,
            threads=large_threads,
            idempotency=timedelta(hours=settings.idempotency_hours),
            same_body=timedelta(seconds=settings.same_body_seconds),
        )
        events = EventManager(
            webhooks=webhooks,
            deliveries=deliveries,
            door=door,
            reader=SharedEventReader(reader, threads),
            rules=AlertRules(
                duplicate_event_time=timedelta(seconds=settings.duplicate_event_time),
                store_unmatched_recovery=settings.store_unmatched_recovery,
                alerts_per_minute=settings.alerts_per_minute,
            ),
            idempotency_hours=settings.idempotency_hours,
            max_event_bytes=settings.max_event_bytes,
            metrics=metrics,
            retention=Retention(settings.retention_days, settings.retention_by_severity),
        )

        reports = AlertRateReports(alert_rate_limit, webhooks=webhooks, events=events, clock=utc_now)
        reports.start()
        parts.push_async_callback(lambda: _at_most(self._left(), reports.close()))
        watcher = Watcher(events, partial(ChangeStream, database["event"]), confirmed_at=lambda: probe.confirmed_at)
        services = grpc_services(
            settings,
            events,
            webhooks,
            deliveries,
            exporter=Exporter(ExportReader(database["event"], max_time_ms=timeout_ms), threads.run),
            watcher=watcher,
        )
        grpc_server = GrpcServer(
            settings, services, authenticator, observe=metrics.rpc, span=tracing.rpc if tracing else None
        )
        watch(metrics, writer, threads, grpc_server)
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
            alerts=AlertStore(database, timeout_ms),
            threads=threads,
            run_in_thread=json_threads.run,
        )
        http_server = HttpServer(application, settings.http_address, tls=http_tls(settings))
        self._http = http_server
        probe = HealthCheck(
            database,
            on_change=grpc_server.health.set,
            suspendables=[threads, webhook_threads, writer],
            last_success=lambda: writer.last_success_at,
        )
        await probe.start()
        parts.push_async_callback(lambda: probe.stop(self._left()))
        await grpc_server.start()
        parts.push_async_callback(lambda: _stop_both(grpc_server, http_server, self._left(_RESERVE_SECONDS)))
        await _start_http(http_server, settings.http_address)
        self._addresses = Addresses(
            _with_port(settings.grpc_address, grpc_server.port), _http_url(settings, http_server)
        )

    def _telemetry(self, metrics: Metrics, service_version: str, parts: contextlib.AsyncExitStack) -> Tracing | None:
        """Exports what OTEL_* ask for, until everything else has stopped."""
        tracing = start_tracing(service_version, os.environ)
        pusher = start_metrics(service_version, os.environ, metrics.collect)
        for part in (tracing, pusher):
            if part is not None:
                parts.push_async_callback(self._send_last, part.stop)
        return tracing

    async def _send_last(self, stop: Callable[[], None]) -> None:
        longest, least = _TELEMETRY_SECONDS
        await stop_within(max(min(self._left(), longest), least), stop)

    async def _start_embedded(self, parts: contextlib.AsyncExitStack) -> str:
        settings = self._settings
        embedded = EmbeddedDatabase(settings.data_dir, mongod=settings.mongod, cache_mb=settings.mongod_cache_mb)
        parts.push_async_callback(asyncio.to_thread, embedded.stop)
        return await asyncio.to_thread(embedded.start)

    async def _connect(self, tracing: Tracing | None, parts: contextlib.AsyncExitStack) -> client.Database:
        """The database, ready for use."""
        named = self._settings.mongodb_uri.get_secret_value()
        uri = named or await self._start_embedded(parts)
        database = client.connect(self._settings, uri, listeners=[CommandSpans(tracing)] if tracing else [])
        parts.callback(lambda: client.close(database, self._left()))
        stopped = threading.Event()
        parts.callback(stopped.set)
        await asyncio.to_thread(self._prepare, database, named, stopped)
        return database

    def _prepare(self, database: client.Database, named: str, stopped: threading.Event) -> None:
        """Check the database that a URI names, and make collections and indexes.

        Waits for a database that is not there yet, as in a fresh cluster; what does not pass by itself is raised.
        Until it is stopped: a cancelled start leaves its threads behind, and the process ends with the last of them.
        """
        give_up_at = time.monotonic() + DATABASE_SECONDS
        while True:
            try:
                if named:
                    check_database(database, named)
                ensure(database)
            except Unavailable as error:
                if (refusal := missing_right(error)) is not None:
                    raise refusal from error
                if stopped.is_set() or time.monotonic() > give_up_at:
                    raise
                _log.warning("the database does not answer yet: %s", error.__cause__ or error)
                stopped.wait(1)
            else:
                return

    def _base_url(self) -> str:
        if self._settings.public_url:
            return self._settings.public_url.rstrip("/")
        if self._http is None:
            raise RuntimeError("the service has not been started")
        return _http_url(self._settings, self._http)


def build(settings: Settings) -> App:
    """The service that these settings describe, not started yet."""
    return App(settings)


async def _start_http(server: HttpServer, address: str) -> None:
    try:
        await server.start()
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise PortTaken(f"cannot listen on {address}: {reason}") from error


async def _stop_both(grpc_server: GrpcServer, http_server: HttpServer, grace: float) -> None:
    await asyncio.gather(grpc_server.stop(grace), http_server.stop(grace))


async def recover_periodically(recover: Callable[[datetime], int], threads: ThreadPool, interval: float) -> None:
    """Finishes, at start and then every `interval` seconds, what a process that died left half done.

    Args:
        recover: `Committer.recover`.
    """
    while True:
        try:
            if mended := await threads.run(recover, datetime.now(UTC)):
                _log.warning("closed %d alerts that an earlier process had left to be closed", mended)
        except EventServiceError as error:  # the database may be away; there is another time
            _log.info("could not look for alerts that were left to be closed: %s", error)
        except Exception:  # a row that cannot be read, say: the rows of the next minute may be others
            _log.exception("could not close alerts that were left to be closed")
        await asyncio.sleep(interval)


async def _at_most(seconds: float, closing: Awaitable[None]) -> None:
    """Waits that long for something to close; then it is cut off."""
    try:
        await asyncio.wait_for(closing, seconds)
    except TimeoutError:
        _log.warning("the grace period is over, and something had not been closed yet")


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _http_url(settings: Settings, server: HttpServer) -> str:
    return f"{server.scheme}://{_with_port(settings.http_address, server.port)}"


def _with_port(address: str, port: int) -> str:
    host, _, wanted = address.rpartition(":")
    return f"{host}:{port or wanted}"
