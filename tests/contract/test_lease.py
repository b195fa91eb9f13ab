"""Leases of several processes on one real database."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from event_service.errors import Unavailable
from event_service.settings import Settings
from event_service.store import lease
from event_service.store.client import Database, close, connect
from event_service.store.lease import Leases
from event_service.store.totals.event_totals import EventTotals
from event_service.store.totals.rollup_store import COLLECTION as ROLLUPS
from tests.contract.reading import stored
from tests.waiting import wait_until


@pytest.fixture
def database_kind() -> str:
    return "mongodb"  # mongomock has no update by pipeline


HOLDER = """
import sys, time
from event_service.settings import Settings
from event_service.store.client import connect
from event_service.store.lease import Leases
leases = Leases(connect(Settings(database=sys.argv[2]), sys.argv[1]))
print(leases.acquire("task", seconds=2), flush=True)
while leases.acquire("task", seconds=2):
    time.sleep(0.05)
"""


@contextmanager
def other_process(uri: str, database: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a process that holds the lease of `task` until it is killed."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, uri, database], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "True\n"
            yield process
        finally:
            process.kill()


def expire(database: Database, task: str) -> None:
    database[lease.COLLECTION].update_one({"_id": task}, {"$set": {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}})


def test_one_holder_at_a_time(database: Database) -> None:
    first, second = Leases(database), Leases(database)
    assert first.acquire("task")
    assert not second.acquire("task")
    assert first.acquire("task")
    assert second.acquire("another task")


def test_a_lease_of_a_killed_process_expires(database: Database, mongodb_uri: str) -> None:
    with other_process(mongodb_uri, database.name) as holder:
        leases = Leases(database)
        renewed = set()
        while len(renewed) < 3:  # it is renewed, so that it never expires
            assert not leases.acquire("task")
            renewed.add(database[lease.COLLECTION].find_one()["expires_at"])  # type: ignore[index]
        holder.kill()
        wait_until(lambda: leases.acquire("task"))


def test_an_expired_lease_is_lost_and_not_renewed_from_memory(database: Database) -> None:
    seconds = 0.0
    first, second = Leases(database, monotonic=lambda: seconds), Leases(database)
    assert first.acquire("task")
    expire(database, "task")
    assert second.acquire("task")
    seconds = 5.0  # half of its duration
    assert not first.acquire("task")
    expire(database, "task")
    assert first.acquire("task")


def test_the_time_is_the_databases(database: Database) -> None:
    leases = Leases(database, monotonic=lambda: 1e9)
    assert leases.acquire("task")
    now = database.client.admin.command("hello")["localTime"].replace(tzinfo=UTC)
    (stored_lease,) = database[lease.COLLECTION].find()
    assert timedelta(seconds=5) < stored_lease["expires_at"] - now <= timedelta(seconds=10)


def test_a_lease_is_not_written_until_half_of_it_is_over(database: Database) -> None:
    seconds = 0.0
    leases = Leases(database, monotonic=lambda: seconds)
    assert leases.acquire("task")
    database[lease.COLLECTION].delete_many({})
    seconds = 4.9
    assert leases.acquire("task")
    assert database[lease.COLLECTION].count_documents({}) == 0
    seconds = 5.0
    assert leases.acquire("task")
    assert database[lease.COLLECTION].count_documents({}) == 1


def test_released_leases_are_free(database: Database) -> None:
    first, second = Leases(database), Leases(database)
    assert first.acquire("task")
    assert second.acquire("another task")
    first.release()
    assert second.acquire("task")
    assert not first.acquire("another task")


def test_only_one_of_many_takes_a_free_lease(database: Database) -> None:
    for number in range(5):
        many = [Leases(database) for _ in range(4)]
        with ThreadPoolExecutor(4) as threads:
            taken = threads.map(Leases.acquire, many, [f"task {number}"] * 4)
        assert sorted(taken) == [False, False, False, True]


def test_rollups_are_built_by_the_holder_only(database: Database) -> None:
    stored(database)
    one, other = (EventTotals(database["event"], max_time_ms=10_000) for _ in range(2))
    assert Leases(database).acquire("rollup of d-1")
    one.rollups.request("d-1")
    one.rollups.refresh()
    assert database[ROLLUPS].count_documents({}) == 0
    expire(database, "rollup of d-1")
    for totals in (other, one):
        totals.rollups.request("d-1")
        totals.rollups.refresh()
    assert database[ROLLUPS].count_documents({"_id": "rollup d-1"}) == 1
    assert one._leases._renew_at == {}
    other.close()  # which ends its lease
    assert one._leases.acquire("rollup of d-1")
    one.close()


def test_a_release_without_a_database_only_waits_for_the_expiry() -> None:
    unreachable = connect(Settings(), "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50")
    leases = Leases(unreachable)
    with pytest.raises(Unavailable):
        leases.acquire("task")
    leases._renew_at["task"] = 0.0
    leases.release()
    assert not leases._renew_at
    close(unreachable)
