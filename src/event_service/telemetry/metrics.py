"""Every metric of the service, declared once and served by `GET /metrics` in Prometheus' text format.

No label has a value that a caller chooses, such as an id, a key or a token: the values of each label are few and known,
all others are counted as "other". Methods called per request cost a dictionary look-up and a few additions.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from event_service.telemetry.request import VERBS
from event_service.telemetry.siblings import Siblings

_OPENMETRICS = "application/openmetrics-text"

# The _created samples would make the reply half as large again, and are rarely used.
disable_created_metrics()  # type: ignore[no-untyped-call]

"""Content type of `Metrics.text`. Source: Prometheus, "Exposition formats"."""

OTHER = "other"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_ALERT_SECONDS = (60, 300, 900, 3600, 14_400, 43_200, 86_400, 259_200, 604_800)
_EVENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)


class Metrics:
    """The metrics of one service, in a registry of its own.

    All methods are thread-safe and do not raise.

    Args:
        version: of this service.
    """

    def __init__(self, version: str) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # process_cpu_seconds_total, process_resident_memory_bytes, ...

        # Constant 1; the label is the version.
        Gauge("event_service_build_info", "The running version.", ["version"], registry=registry).labels(version).set(1)
        # Completed rpcs of every transport: /package.Service/method and the name of the status code.
        self._rpcs = Counter("event_service_rpcs", "Completed calls.", ["method", "code"], registry=registry)
        # From the first interceptor to the reply; for a stream, its whole lifetime.
        self._rpc_seconds = Histogram(
            "event_service_rpc_seconds", "Duration of calls.", ["method"], buckets=_SECONDS, registry=registry
        )
        # The route is the template, with `{webhook_id}` and `{access_key}` instead of values.
        self._requests = Counter(
            "event_service_http_requests", "HTTP responses.", ["verb", "route", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "event_service_http_request_seconds",
            "Duration of HTTP requests.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        # stored; duplicate (stored by an earlier delivery); unmatched_recovery (no open alert, not stored); unreadable
        # (stored as ERROR events, not counted as stored).
        self._events = Counter("event_service_events", "Events by outcome.", ["outcome"], registry=registry)
        # stored, duplicate, nothing (no event to store), unreadable (stored at least partly as ERROR events), or the
        # ERROR_X name of the reply. The parser is a built-in one, or "other".
        self._deliveries = Counter(
            "event_service_deliveries", "Deliveries to webhooks by outcome.", ["parser", "outcome"], registry=registry
        )
        self._batch_events = Histogram(
            "event_service_batch_events", "Events per group commit.", buckets=_EVENTS, registry=registry
        )
        self._commit_seconds = Histogram(
            "event_service_commit_seconds", "Duration of group commits.", buckets=_SECONDS, registry=registry
        )
        # Their writes may or may not have happened.
        self._failed_commits = Counter("event_service_failed_commits", "Failed group commits.", registry=registry)
        # Of the whole database, so that every replica reports the same numbers; at most a minute old. The webhooks with
        # the most open alerts are named, all others are "other".
        self._open_alerts = Gauge(
            "event_service_open_alerts", "Open alerts.", ["severity", "webhook"], registry=registry
        )
        self._oldest_alert = Gauge(
            "event_service_oldest_open_alert_seconds", "Age of the oldest open alert.", ["severity"], registry=registry
        )
        # By reason: RECOVERED, SUPERSEDED, MANUAL, NO_NEWS. Counted by the replica that resolved them.
        self._alert_seconds = Histogram(
            "event_service_alert_seconds",
            "Time from the opening of alerts to their end.",
            ["reason"],
            buckets=_ALERT_SECONDS,
            registry=registry,
        )
        # 1 or 0, as the health checks report it.
        self._database_up = Gauge(
            "event_service_database_up", "1 while the database accepts writes, else 0.", registry=registry
        )
        # The queue includes the batch being written.
        self._queue_creates = Gauge(
            "event_service_queue_creates", "Creates queued or being written.", registry=registry
        )
        self._queue_bytes = Gauge(
            "event_service_queue_bytes", "Bytes of creates queued or being written.", registry=registry
        )
        self._reads = Gauge(
            "event_service_reads_pending", "Reads running in a worker thread or waiting for one.", registry=registry
        )
        self._clock_skew = Gauge(
            "event_service_clock_skew_seconds",
            "Seconds that this machine's clock is ahead of the database's.",
            registry=registry,
        )
        self._calls = Gauge("event_service_rpcs_under_way", "gRPC calls in flight.", registry=registry)

        self._siblings: Siblings | None = None
        self._known_rpcs: dict[tuple[str, str], Callable[[], None]] = {}
        self._known_rpc_seconds: dict[str, Callable[[float], None]] = {}
        self._known_requests: dict[tuple[str, str, int], Callable[[], None]] = {}
        self._known_request_seconds: dict[str, Callable[[float], None]] = {}
        self._known_deliveries: dict[tuple[str, str], Callable[[], None]] = {}
        # All label values exist from the start, so that a rate before the first event is 0 and not absent.
        outcomes = ("stored", "duplicate", "unmatched_recovery", "unreadable")
        self._stored, self._duplicate, self._unmatched, self._unreadable = (
            self._events.labels(outcome).inc for outcome in outcomes
        )

    def rpc(self, method: str, code: str, seconds: float) -> None:
        """Count a completed call.

        Args:
            method: `/package.Service/method` of the contract.
            code: name of the status code.
        """
        count = self._known_rpcs.get((method, code))
        if count is None:
            count = self._known_rpcs[method, code] = self._rpcs.labels(method, code).inc
        observe = self._known_rpc_seconds.get(method)
        if observe is None:
            observe = self._known_rpc_seconds[method] = self._rpc_seconds.labels(method).observe
        count()
        observe(seconds)

    def request(self, verb: str, route: str, status: int, seconds: float) -> None:
        """Count an HTTP response; `route` is the matched template, never the path."""
        if verb not in VERBS:
            verb = OTHER
        count = self._known_requests.get((verb, route, status))
        if count is None:
            count = self._known_requests[verb, route, status] = self._requests.labels(verb, route, str(status)).inc
        observe = self._known_request_seconds.get(route)
        if observe is None:
            observe = self._known_request_seconds[route] = self._request_seconds.labels(route).observe
        count()
        observe(seconds)

    def events(self, *, stored: int = 0, duplicate: int = 0, unmatched: int = 0, unreadable: int = 0) -> None:
        """Count events, each under one outcome."""
        if stored:
            self._stored(stored)
        if duplicate:
            self._duplicate(duplicate)
        if unmatched:
            self._unmatched(unmatched)
        if unreadable:
            self._unreadable(unreadable)

    def delivery(self, parser: str, outcome: str) -> None:
        """Count a delivery; `parser` is a built-in parser's name, or OTHER."""
        count = self._known_deliveries.get((parser, outcome))
        if count is None:
            count = self._known_deliveries[parser, outcome] = self._deliveries.labels(parser, outcome).inc
        count()

    def commit(self, events: int, seconds: float, *, failed: bool) -> None:
        """Record one group commit."""
        self._batch_events.observe(events)
        self._commit_seconds.observe(seconds)
        if failed:
            self._failed_commits.inc()

    def open_alerts(self, counts: Mapping[tuple[str, str], int], ages: Mapping[str, float]) -> None:
        """Set the numbers of open alerts by (severity, webhook), and the age of the oldest in seconds by severity."""
        # Webhooks and severities without open alerts are left out.
        self._open_alerts.clear()
        for labels, number in counts.items():
            self._open_alerts.labels(*labels).set(number)
        self._oldest_alert.clear()
        for severity, age in ages.items():
            self._oldest_alert.labels(severity).set(age)

    def alert_resolved(self, reason: str, seconds: float) -> None:
        """Record the end of an alert."""
        self._alert_seconds.labels(reason).observe(max(seconds, 0.0))

    def watch_queue(self, creates: Callable[[], int], size: Callable[[], int]) -> None:
        """Set the sources of the queue gauges, called at each scrape."""
        self._queue_creates.set_function(creates)
        self._queue_bytes.set_function(size)

    def watch_reads(self, pending: Callable[[], int]) -> None:
        """Set the source of the reads gauge."""
        self._reads.set_function(pending)

    def watch_calls(self, in_flight: Callable[[], int]) -> None:
        """Set the source of the calls gauge."""
        self._calls.set_function(in_flight)

    def watch_database(self, serving: Callable[[], bool]) -> None:
        """Set the source of the database gauge."""
        self._database_up.set_function(lambda: float(serving()))

    def watch_clock(self, skew: Callable[[], timedelta]) -> None:
        """Set the source of the clock skew gauge."""
        self._clock_skew.set_function(lambda: skew().total_seconds())

    def collect(self) -> Iterable[Metric]:
        """Return all metric families."""
        return self._registry.collect()

    def join(self, siblings: Siblings) -> None:
        """Have `exposition_of_all` ask the other processes of the service."""
        self._siblings = siblings

    async def exposition_of_all(self, accept: str = "") -> tuple[bytes, str]:
        """Return what `exposition` does, for all processes of the service."""
        if self._siblings is None:
            return self.exposition(accept)
        return _exposition(_Collected(await self._siblings.collect()), accept)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics and their content type: Prometheus' text format, or OpenMetrics.

        Args:
            accept: the header Accept.
        """
        return _exposition(self._registry, accept)


@dataclass(frozen=True, slots=True)
class _Collected:
    """The part of a registry that encoders use."""

    metrics: Sequence[Metric]

    def collect(self) -> Sequence[Metric]:
        return self.metrics


def _exposition(registry: Collector, accept: str) -> tuple[bytes, str]:
    # Not the whole header: choose_encoder raises TypeError for a version that is no number.
    encode, content_type = choose_encoder(_OPENMETRICS if _OPENMETRICS in accept else "")
    return encode(registry), content_type
