"""Measure cost and latency with 10^3, 10^4 and 10^5 events stored in a mongod."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from pymongo import MongoClient
from pymongo.database import Database

from bench import alone, load, real_clients, servers
from bench.alone import Plan, Point
from bench.arithmetic import cost
from bench.canned_events import stored_document
from bench.compare import READS
from bench.load import Load
from bench.servers import Target, with_event_ids

SIZES = (10**3, 10**4, 10**5)
_STEP = timedelta(seconds=20)  # 10^5 events reach back 23 days
_AT_ONCE = 500
_COUNTING_SECONDS = 180

PAGES = (1, 10, 100, 1000, 10_000)
"""Pages of ten, of the largest number of events."""


def by_stored_events(plan: Plan, say: Callable[[str], None], sizes: tuple[int, ...] = SIZES) -> list[Point]:
    """Return each rpc alone (its latency is the database's) and with 16 calls under way, for each number of events."""
    points = []
    stored, newest = 0, datetime.now(UTC).replace(microsecond=0)
    with servers.mongod() as uri, servers.ours(uri) as target:
        events = MongoClient[dict[str, Any]](uri)[servers.DATABASE].event
        for size in sizes:
            for first in range(stored, size, _AT_ONCE):
                positions = range(first, min(first + _AT_ONCE, size))
                events.insert_many([stored_document(each, newest, _STEP) for each in positions], ordered=False)
            stored = size
            _let_them_be_counted(target, events.database)
            say(f"{size} events stored")
            real_clients.check(target)
            for rpc in (*READS, "create"):
                for connections in (1, 16):
                    wanted = Load(rpc, connections, seconds=plan.seconds, least=3)
                    runs = [load.run(wanted, target.port, target.names, target.process_id) for _ in range(plan.rounds)]
                    points.append(Point({"rpc": rpc, "in flight": connections, "stored events": size}, cost(runs)))
                    say(f"{size:8} events {rpc:8} {connections:3} in flight {alone.summary(points[-1].cost)}")
        for page in PAGES:
            wanted = Load(f"list10@{page}", 1, seconds=plan.seconds, least=3)
            runs = [load.run(wanted, target.port, target.names, target.process_id) for _ in range(plan.rounds)]
            points.append(Point({"rpc": f"list10@{page}", "in flight": 1, "stored events": stored}, cost(runs)))
            say(f"page {page:8} {alone.summary(points[-1].cost)}")
    return points


def _let_them_be_counted(target: Target, database: Database[dict[str, Any]]) -> None:
    """Make the service count events written by others, as after a restore, and wait until it has.

    A service that counts in a moment does not write its counts down.
    """
    database.event_rollup.delete_many({})
    time.sleep(2)
    give_up_at = time.monotonic() + _COUNTING_SECONDS
    while time.monotonic() < give_up_at:
        try:
            with_event_ids(target)
        except grpc.RpcError:  # counting plainly took longer than a query may
            continue
        time.sleep(3)
        if database.event_rollup.find_one({"ready": True}) or database.event.estimated_document_count() < 2000:
            return
