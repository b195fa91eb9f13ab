"""What is over goes, oldest first and in small writes, and nothing else does."""

from datetime import UTC, datetime, timedelta

import pytest

from event_service.store import expiry, indexes
from event_service.store.client import Database
from event_service.store.expiry import Expiry
from tests.contract.test_migration import upstream_event

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(autouse=True)
def indexed(database: Database) -> None:
    indexes.ensure(database, embedded=True)


def numbers(database: Database) -> set[int]:
    return {int(row["event_id"][6:], 16) for row in database["event"].find({}, {"event_id": True})}


def test_what_is_over_goes_and_nothing_else(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "BATCH", 7)
    clock = Clock()
    sweeper = Expiry(database, now=clock)
    assert sweeper.sweep() == 0
    old = [upstream_event(number, expire_at=NOON - timedelta(minutes=number)) for number in range(1, 61)]
    young = [upstream_event(number, expire_at=NOON + timedelta(minutes=number)) for number in range(61, 64)]
    database["event"].insert_many([*old, *young, upstream_event(99)])
    assert Expiry(database, now=clock).sweep() == 60
    assert numbers(database) == {61, 62, 63, 99}
    clock.now += timedelta(minutes=62, seconds=30)
    assert sweeper.sweep() == 2
    assert sweeper.sweep() == 0
    assert numbers(database) == {63, 99}


def test_claims_go_too(database: Database) -> None:
    clock = Clock()
    clock.now = datetime(2100, 1, 1, tzinfo=UTC)  # mongomock deletes by a clock of its own, too
    for number, days in ((1, -1), (2, 1)):
        database["claim"].insert_one({"_id": number, "expire_at": clock.now + timedelta(days=days)})
    assert Expiry(database, now=clock).sweep() == 1
    assert [row["_id"] for row in database["claim"].find()] == [2]


def test_what_ends_in_the_same_moment_is_no_obstacle(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "_MANY", 5)
    database["event"].insert_many(
        [upstream_event(number, expire_at=NOON - timedelta(days=400)) for number in range(20)]
        + [upstream_event(number, expire_at=NOON - timedelta(seconds=number)) for number in range(20, 40)]
    )
    assert Expiry(database, now=Clock()).sweep() == 40


def test_it_runs_by_itself_and_stops_in_the_middle(database: Database) -> None:
    database["event"].insert_one(upstream_event(1, expire_at=NOON - timedelta(days=1)))
    sweeper = Expiry(database, now=Clock(), every_seconds=0.01)
    sweeper.start()
    assert sweeper._thread is not None
    for _ in range(1000):
        if not numbers(database):
            break
        sweeper._thread.join(0.01)
    assert not numbers(database)
    sweeper.stop()
    sweeper._thread.join(10)
    assert not sweeper._thread.is_alive()
    database["event"].insert_one(upstream_event(2, expire_at=NOON - timedelta(days=1)))
    assert sweeper.sweep() == 0
