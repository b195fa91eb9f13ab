"""Every metric of the service, declared once: what `GET /metrics` tells in Prometheus' text format.

No label holds an id, a key, a token or anything else a caller chooses: each label's values are few and known, or are
counted as "other". What is called for every request costs a dictionary look-up and a few additions.
"""

from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from event_service.telemetry.request import VERBS

# When each counter began, once more as a sample of its own: half as much again to say, and nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of what `Metrics.text` gives. Source: Prometheus, "Exposition formats"."""

OTHER = "other"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_EVENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)


class Metrics:
    """The metrics of one service; several may live in one process.

    All methods may be called from any thread, and none raises.

    Args:
        version: of this service.
    """

    def __init__(self, version: str) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # process_cpu_seconds_total, process_resident_memory_bytes, ...

        # Constant 1; its label says what runs.
        Gauge("event_service_build_info", "The running version.", ["version"], registry=registry).labels(version).set(1)
        # Every rpc that ended, whichever door it came through: /package.Service/method, and the status code's name.
        self._rpcs = Counter("event_service_rpcs", "Calls that ended.", ["method", "code"], registry=registry)
        # From the first interceptor to the reply; of a stream, its whole life.
        self._rpc_seconds = Histogram(
            "event_service_rpc_seconds", "Duration of calls.", ["method"], buckets=_SECONDS, registry=registry
        )
        # Every HTTP answer. The route is the template, in which ids and access keys are names in braces.
        self._requests = Counter(
            "event_service_http_requests", "HTTP answers.", ["verb", "route", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "event_service_http_request_seconds",
            "Duration of HTTP requests.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        # Events by what became of them: stored; duplicate (an earlier delivery had stored them); unmatched_recovery
        # (no open alert, not stored); unreadable (stored as ERROR events, counted here and not under stored).
        self._events = Counter("event_service_events", "Events by what became of them.", ["outcome"], registry=registry)
        # Deliveries to webhooks: stored, duplicate, nothing (no event in it is to be stored), unreadable (some or all
        # of it was stored as ERROR events), or the ERROR_X name of the answer. The parser is a built-in one, or
        # "other".
        self._deliveries = Counter(
            "event_service_deliveries", "Deliveries to webhooks.", ["parser", "outcome"], registry=registry
        )
        # One write of the group commit: how many events it took along, and how long it took.
        self._batch_events = Histogram(
            "event_service_batch_events", "Events written by one commit.", buckets=_EVENTS, registry=registry
        )
        self._commit_seconds = Histogram(
            "event_service_commit_seconds", "Duration of a commit.", buckets=_SECONDS, registry=registry
        )
        # Commits of which nothing is promised.
        self._failed_commits = Counter("event_service_failed_commits", "Commits that failed.", registry=registry)
        # 1 while the database answers, else 0: what health checks are told.
        self._database_up = Gauge("event_service_database_up", "Whether the database answers.", registry=registry)
        # Creates that wait for their answer, the batch being written included; and their bytes.
        self._queue_creates = Gauge("event_service_queue_creates", "Creates not answered yet.", registry=registry)
        self._queue_bytes = Gauge("event_service_queue_bytes", "Bytes of creates not answered yet.", registry=registry)
        # Calls to the database that run in a worker thread or wait for one.
        self._reads = Gauge("event_service_reads_pending", "Reads that run or wait.", registry=registry)
        # gRPC calls that were let in and have not been answered yet.
        self._calls = Gauge("event_service_rpcs_under_way", "Calls not answered yet.", registry=registry)

        self._known_rpcs: dict[tuple[str, str], Callable[[], None]] = {}
        self._known_rpc_seconds: dict[str, Callable[[float], None]] = {}
        self._known_requests: dict[tuple[str, str, int], Callable[[], None]] = {}
        self._known_request_seconds: dict[str, Callable[[float], None]] = {}
        self._known_deliveries: dict[tuple[str, str], Callable[[], None]] = {}
        # Declared with all their values, so that a rate is 0 and not absent before the first.
        outcomes = ("stored", "duplicate", "unmatched_recovery", "unreadable")
        self._stored, self._duplicate, self._unmatched, self._unreadable = (
            self._events.labels(outcome).inc for outcome in outcomes
        )

    def rpc(self, method: str, code: str, seconds: float) -> None:
        """A call ended: `/package.Service/method`, of the contract; the status code's name."""
        count = self._known_rpcs.get((method, code))
        if count is None:
            count = self._known_rpcs[method, code] = self._rpcs.labels(method, code).inc
        observe = self._known_rpc_seconds.get(method)
        if observe is None:
            observe = self._known_rpc_seconds[method] = self._rpc_seconds.labels(method).observe
        count()
        observe(seconds)

    def request(self, verb: str, route: str, status: int, seconds: float) -> None:
        """An HTTP request was answered; `route` is the template that matched, never the path itself."""
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
        """What became of events; each is counted under one of these."""
        if stored:
            self._stored(stored)
        if duplicate:
            self._duplicate(duplicate)
        if unmatched:
            self._unmatched(unmatched)
        if unreadable:
            self._unreadable(unreadable)

    def delivery(self, parser: str, outcome: str) -> None:
        """A delivery was answered. `parser`: a built-in parser's name, or OTHER."""
        count = self._known_deliveries.get((parser, outcome))
        if count is None:
            count = self._known_deliveries[parser, outcome] = self._deliveries.labels(parser, outcome).inc
        count()

    def commit(self, events: int, seconds: float, *, failed: bool) -> None:
        """A batch was written, or could not be."""
        self._batch_events.observe(events)
        self._commit_seconds.observe(seconds)
        if failed:
            self._failed_commits.inc()

    def watch_queue(self, creates: Callable[[], int], size: Callable[[], int]) -> None:
        """Where to look for the number of creates in the queue, and their bytes, when somebody asks."""
        self._queue_creates.set_function(creates)
        self._queue_bytes.set_function(size)

    def watch_reads(self, pending: Callable[[], int]) -> None:
        """Where to look for the number of reads that run or wait."""
        self._reads.set_function(pending)

    def watch_calls(self, under_way: Callable[[], int]) -> None:
        """Where to look for the number of gRPC calls under way."""
        self._calls.set_function(under_way)

    def watch_database(self, serving: Callable[[], bool]) -> None:
        """Where to look for whether the database answers."""
        self._database_up.set_function(lambda: float(serving()))

    def collect(self) -> Iterable[Metric]:
        """Everything, for whoever translates it."""
        return self._registry.collect()

    def text(self) -> bytes:
        """Everything, as `CONTENT_TYPE`."""
        return generate_latest(self._registry)
