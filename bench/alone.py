"""Ours alone: what a request costs when the database is not what it waits for, and how cost grows.

The database is the double of `mongodb_double.py`, whose answers cost next to nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bench import h2load, load, real_clients, servers
from bench.arithmetic import Cost, Run, cost
from bench.compare import READS, VARIED
from bench.load import Load
from bench.servers import Target

IN_FLIGHT = ((1, 1), (16, 1), (4, 16))
"""Connections and calls under way on each: 1, 16 and 64 in flight."""


@dataclass(frozen=True, slots=True)
class Point:
    """A cost and what it was measured at, e.g. {"rpc": "list10", "in flight": 16}."""

    at: dict[str, float | str]
    cost: Cost


@dataclass(frozen=True, slots=True)
class Plan:
    """`seconds` of load for each point, `rounds` times; h2load gets a number of calls that takes about as long."""

    rounds: int = 3
    seconds: float = 3.0


def summary(spent: Cost) -> str:
    """A cost in a line."""
    return f"{spent.cpu_us:7.0f} us, p50 {spent.latency_ms['p50']:.1f} ms, {spent.per_second:.0f} /s"


def measure(target: Target, load_: Load, plan: Plan) -> Cost:
    """Put the same load on a server several times."""
    return cost([_run(target, load_, plan) for _ in range(plan.rounds)])


def _run(target: Target, wanted: Load, plan: Plan) -> Run:
    if not h2load.can_send(wanted.rpc):
        return load.run(wanted, target.port, target.names, target.process_id)
    calls = max(int(plan.seconds * (400 if wanted.rpc.startswith("list1") else 1000)), wanted.connections)
    fixed = Load(wanted.rpc, wanted.connections, wanted.streams, least=calls)
    return h2load.run(fixed, target.port, target.names, target.process_id)


def floor(plan: Plan, say: Callable[[str], None]) -> list[Point]:
    """Measure the empty rpc."""
    points = []
    with servers.floor() as target:
        for connections, streams in IN_FLIGHT:
            spent = measure(target, Load("get", connections, streams, plan.seconds), plan)
            points.append(Point({"rpc": "nothing", "in flight": connections * streams}, spent))
            say(f"nothing  {connections * streams:3} in flight {spent.cpu_us:7.0f} us")
    return points


def on_the_double(plan: Plan, say: Callable[[str], None]) -> list[Point]:
    """Return every rpc at 1, 16 and 64 in flight; of batches, 64 would be more events than may wait to be written."""
    points = []
    with servers.double() as uri, servers.ours(uri) as target:
        real_clients.check(target)
        for rpc in ("create", "batch100", *READS, *VARIED):
            for connections, streams in IN_FLIGHT if rpc != "batch100" else IN_FLIGHT[:-1]:
                spent = measure(target, Load(rpc, connections, streams, plan.seconds), plan)
                points.append(Point({"rpc": rpc, "in flight": connections * streams}, spent))
                say(f"{rpc:8} {connections * streams:3} in flight {spent.cpu_us:7.0f} us {spent.per_second:7.0f} /s")
    return points


def slow_writes(plan: Plan, say: Callable[[str], None], latency_ms: float = 3.0) -> list[Point]:
    """Measure creates per second of one process if each write takes `latency_ms`."""
    points = []
    with servers.double(write_latency_ms=latency_ms) as uri, servers.ours(uri) as target:
        for connections, streams in ((1, 1), (16, 1), (4, 16), (16, 16)):
            spent = measure(target, Load("create", connections, streams, plan.seconds), plan)
            points.append(Point({"rpc": "create", "in flight": connections * streams, "write ms": latency_ms}, spent))
            say(f"create   {connections * streams:3} in flight {spent.cpu_us:7.0f} us {spent.per_second:7.0f} /s")
    return points


def by_page_size(plan: Plan, say: Callable[[str], None]) -> list[Point]:
    """list from 1 to 1000 rows a page."""
    points = []
    with servers.double(events=10_000) as uri, servers.ours(uri) as target:
        for rows in (1, 3, 10, 30, 100, 300, 1000):
            spent = measure(target, Load(f"list{rows}", 16, 1, plan.seconds), plan)
            points.append(Point({"rpc": "list", "in flight": 16, "rows": rows}, spent))
            say(f"list({rows:4}) {spent.cpu_us:7.0f} us")
    return points


def by_batch_size(plan: Plan, say: Callable[[str], None]) -> list[Point]:
    """CreateBatch of 1 to 300 payloads, one batch after the other. The cost is that of a whole batch."""
    points = []
    with servers.double() as uri, servers.ours(uri) as target:
        for payloads in (1, 3, 10, 30, 100, 300):
            spent = measure(target, Load(f"batch{payloads}", 1, 1, plan.seconds), plan)
            points.append(Point({"rpc": "batch", "in flight": 1, "payloads": payloads}, spent))
            say(f"batch({payloads:3}) {spent.cpu_us:7.0f} us, {spent.cpu_us / payloads:5.0f} a payload")
    return points


def by_stored_events(plan: Plan, say: Callable[[str], None]) -> list[Point]:
    """get, list and create from 10^3 to 10^6 events that the double pretends to hold."""
    points = []
    for events in (10**3, 10**4, 10**5, 10**6):
        with servers.double(events=events) as uri, servers.ours(uri) as target:
            for rpc in ("create", *READS):
                spent = measure(target, Load(rpc, 16, 1, plan.seconds), plan)
                points.append(Point({"rpc": rpc, "in flight": 16, "stored events": events}, spent))
                say(f"{events:8} events {rpc:8} {spent.cpu_us:7.0f} us")
    return points


def by_offered_load(plan: Plan, say: Callable[[str], None]) -> list[Point]:
    """Return latency of get and create as more and more calls a second are started, whatever the replies."""
    points = []
    with servers.double() as uri, servers.ours(uri) as target:
        for rpc in ("get", "create"):
            most = measure(target, Load(rpc, 4, 16, plan.seconds), plan).per_second
            for share in (0.1, 0.25, 0.5, 0.7, 0.8, 0.9):
                offered = Load(rpc, 16, seconds=plan.seconds, rate=most * share)
                spent = cost([load.run(offered, target.port, target.names, target.process_id)])
                points.append(Point({"rpc": rpc, "offered per second": round(most * share)}, spent))
                say(f"{rpc:8} {most * share:6.0f} /s offered  p99 {spent.latency_ms['p99']:7.1f} ms")
    return points
