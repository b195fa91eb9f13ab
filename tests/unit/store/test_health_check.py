"""States of the health check with a fake database."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from pymongo.errors import DuplicateKeyError, NetworkTimeout, OperationFailure

from event_service.errors import EventServiceError
from event_service.store import health_check
from event_service.store.client import Database
from event_service.store.database_clock import DatabaseClock
from event_service.store.health_check import HealthCheck, State
from event_service.wire.timestamps import truncate
from tests.waiting import until


class FakeDatabase:
    """Fake database, and its own client, topology and collection."""

    def __init__(self) -> None:
        self.reachable = True
        self.error: Exception | None = None
        self.writes = 0

    @property
    def client(self) -> "FakeDatabase":
        return self

    topology_description = client

    @property
    def admin(self) -> "FakeDatabase":
        return self

    def command(self, name: str) -> dict[str, Any]:
        return {"localTime": datetime.now(UTC)}

    def has_writable_server(self) -> bool:
        return self.reachable

    def __getitem__(self, name: str) -> "FakeDatabase":
        return self

    def update_one(self, *_: Any, upsert: bool = False) -> None:
        self.writes += 1
        if self.error is not None and (upsert or not isinstance(self.error, DuplicateKeyError)):
            raise self.error

    def find_one(self, _: Any) -> dict[str, Any]:
        return {}


class RecordingSuspendable:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def suspend(self, error: EventServiceError) -> None:
        self.calls.append("suspend")

    def resume(self) -> None:
        self.calls.append("resume")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (
        ("_TOPOLOGY_INTERVAL", 0.005),
        ("_WRITE_INTERVAL", 0.02),
        ("_WRITE_INTERVAL_WHILE_FAILING", 0.01),
        ("_UNREACHABLE_AFTER", 0.03),
    ):
        monkeypatch.setattr(health_check, name, seconds)


@pytest.fixture
def fake() -> FakeDatabase:
    return FakeDatabase()


class Watched:
    """A health check and its notifications."""

    def __init__(self, fake: FakeDatabase) -> None:
        self.changes: list[bool] = []
        self.suspendable = RecordingSuspendable()
        self.written_at = float("-inf")
        self.health = HealthCheck(
            cast("Database", fake),
            DatabaseClock(),
            on_change=self.changes.append,
            suspendables=[self.suspendable],
            last_success=lambda: self.written_at,
        )


@pytest.fixture
async def watched(fake: FakeDatabase) -> AsyncIterator[Watched]:
    watched = Watched(fake)
    yield watched
    await watched.health.stop()


async def test_successful_write_is_serving(fake: FakeDatabase, watched: Watched) -> None:
    assert watched.health.state is State.STARTING
    await watched.health.start()
    assert watched.health.serving
    assert watched.changes == [True]
    await until(lambda: fake.writes > 3)
    assert watched.changes == [True]


async def test_failing_first_write_is_not_serving(fake: FakeDatabase, watched: Watched) -> None:
    fake.error = OperationFailure("internal server error", 1)
    await watched.health.start()
    assert watched.changes == [False]
    fake.error = None
    await until(lambda: watched.changes == [False, True])


async def test_failing_write_suspends_nothing(fake: FakeDatabase, watched: Watched) -> None:
    await watched.health.start()
    fake.error = OperationFailure("internal server error", 1)
    await until(lambda: watched.health.state is State.FAILING)
    fake.error = None
    await until(lambda: watched.health.serving)
    await until(lambda: watched.changes == [True, False, True])
    assert watched.suspendable.calls == []


async def test_unreachable_server_suspends(fake: FakeDatabase, watched: Watched) -> None:
    await watched.health.start()
    fake.reachable = False
    await until(lambda: watched.health.state is State.UNREACHABLE)
    await until(lambda: watched.suspendable.calls == ["suspend"])
    fake.reachable = True
    await until(lambda: watched.suspendable.calls == ["suspend", "resume"])
    await until(lambda: watched.changes == [True, False, True])


async def test_short_interruption_changes_nothing(
    fake: FakeDatabase, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_check, "_UNREACHABLE_AFTER", 60)
    await watched.health.start()
    fake.reachable = False
    await asyncio.sleep(0.05)
    fake.reachable = True
    await asyncio.sleep(0.05)
    assert watched.changes == [True]
    assert watched.suspendable.calls == []


async def test_failed_write_does_not_advance_confirmed_at(fake: FakeDatabase, watched: Watched) -> None:
    began = truncate(datetime.now(UTC))
    await watched.health.start()
    assert watched.health.confirmed_at >= began
    fake.error = NetworkTimeout("no majority")
    await until(lambda: watched.health.state is State.FAILING)
    confirmed_at, writes = watched.health.confirmed_at, fake.writes
    await until(lambda: fake.writes > writes + 2)
    assert watched.health.confirmed_at == confirmed_at
    fake.error = None
    await until(lambda: watched.health.confirmed_at > confirmed_at)


async def test_recent_write_of_others_keeps_serving(fake: FakeDatabase, watched: Watched) -> None:
    await watched.health.start()
    watched.written_at = time.monotonic()
    fake.error = NetworkTimeout("timed out")
    before = fake.writes
    for _ in range(10):
        watched.written_at = time.monotonic()
        await asyncio.sleep(0.01)
    assert fake.writes > before
    assert watched.health.serving
    await until(lambda: watched.health.state is State.FAILING)


async def test_concurrent_first_write_is_retried(fake: FakeDatabase, watched: Watched) -> None:
    fake.error = DuplicateKeyError("E11000")
    await watched.health.start()
    assert watched.health.serving
    assert fake.writes >= 2


async def test_stop_without_start(fake: FakeDatabase) -> None:
    await HealthCheck(cast("Database", fake), DatabaseClock()).stop()
