"""Two committers on one database, through every order of their steps: their alerts and conditions agree after each.

Each committer runs in a thread of its own and stops before every command that it sends to the database; a test lets one
of them send one command at a time. A command that waits for the other side's lock counts as sent.
"""

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from pymongo.monitoring import CommandListener, CommandStartedEvent

from event_service.events.write_request import CreateResult, WriteRequest
from event_service.model.event import EventType
from event_service.settings import Settings
from event_service.store.client import Database, close, connect
from tests.contract.test_committer import ALERT, RECOVERY, Bench, Crash

pytestmark = pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)  # mongomock has no transactions

Step = tuple[EventType, float, float | None]
"""Type of an event, when it is received, and when it occurred, in seconds."""

RACES: dict[str, tuple[Sequence[Step], Sequence[Step], Sequence[Step]]] = {
    # What is stored before; what one side writes; what the other one does.
    "alert | recovery": ([], [(ALERT, 0, None)], [(RECOVERY, 1, None)]),
    "alert | recovery, after a resolved one": (
        [(ALERT, 0, None), (RECOVERY, 1, None)],
        [(ALERT, 2, None)],
        [(RECOVERY, 3, None)],
    ),
    "alert | alert": ([], [(ALERT, 0, None)], [(ALERT, 1, None)]),
    "recovery | outdated recovery": ([(ALERT, 0, None)], [(RECOVERY, 1, None)], [(RECOVERY, 2, -5)]),
    "recovery | recovery": ([(ALERT, 0, None)], [(RECOVERY, 1, None)], [(RECOVERY, 2, None)]),
    "recovery | alert": ([(ALERT, 0, None)], [(RECOVERY, 2, None)], [(ALERT, 1, None)]),
    "recovery | outdated recovery then alert": (
        [(ALERT, 0, None)],
        [(RECOVERY, 1, None)],
        [(RECOVERY, 2, -5), (ALERT, 3, None)],
    ),
    "stale alert | fresh alert": (
        [(ALERT, 0, None), (RECOVERY, 1, None)],
        [(ALERT, 2, 0.5)],
        [(ALERT, 3, None)],
    ),
    "superseding | superseding": ([(ALERT, 0, None)], [(ALERT, 700, None)], [(ALERT, 701, None)]),
    "recovery and alert | recovery": (
        [(ALERT, 0, None)],
        [(RECOVERY, 1, None), (ALERT, 2, None)],
        [(RECOVERY, 3, None)],
    ),
    "recovery and alert | outdated recovery and alert": (
        [(ALERT, 0, None)],
        [(RECOVERY, 1, None), (ALERT, 2, None)],
        [(RECOVERY, 3, -5), (ALERT, 4, None)],
    ),
}

MOST_STEPS = 12  # of one side before it runs freely: the first attempt, and the beginning of the second
PATIENCE = 0.03  # seconds; a command that takes longer waits for the other side


class Stepper(CommandListener):
    """Stops one side before each of its commands."""

    def __init__(self) -> None:
        self.allowed = threading.Semaphore(0)
        self.arrived = threading.Semaphore(0)
        self.free = False
        self.crash_at: int | None = None
        self.steps = 0

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in {"abortTransaction", "endSessions"} or self.free:
            return
        self.arrived.release()
        self.allowed.acquire()
        self.steps += 1

    def succeeded(self, event: object) -> None:
        """Called by the driver."""

    def failed(self, event: object) -> None:
        """Called by the driver."""


@dataclass
class Side:
    """One replica's committer, and the thread of its batch."""

    bench: Bench
    stepper: Stepper
    batch: list[WriteRequest] = field(default_factory=list)
    results: list[CreateResult | Exception] = field(default_factory=list)
    thread: threading.Thread | None = None

    def start(self, batch: list[WriteRequest], crash_at: int | None = None) -> None:
        self.batch, self.results = batch, []
        self.stepper.__init__()  # type: ignore[misc]
        self.commit = CrashingBench(self.bench, crash_at).commit if crash_at is not None else self.bench.commit
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self._wait()

    def _run(self) -> None:
        with suppress(Crash):
            self.results = self.commit(self.batch)
        self.stepper.arrived.release()

    def _wait(self) -> None:
        """Wait until the side stops before its next command, has ended, or waits for the other side."""
        self.stepper.arrived.acquire(timeout=PATIENCE)

    def step(self) -> None:
        self.stepper.allowed.release()
        self._wait()

    def finish(self) -> None:
        assert self.thread is not None
        self.stepper.free = True
        self.stepper.allowed.release(100)
        self.thread.join(20)
        assert not self.thread.is_alive()


class CrashingBench(Bench):
    """A committer that dies before the n-th call of a store."""

    def __init__(self, bench: Bench, crash_at: int) -> None:
        self.database = bench.database
        calls = itertools.count()

        class Store:
            def __init__(self, store: Any) -> None:
                self._store = store

            def __getattr__(self, name: str) -> Any:
                if next(calls) >= crash_at:
                    raise Crash(name)
                return getattr(self._store, name)

        self.commit = bench.committer(
            conditions=Store(bench.conditions), alerts=Store(bench.alerts), events=Store(bench.events),
            records=Store(bench.records),
        )  # fmt: skip


@pytest.fixture(scope="module")
def clients(mongodb_uri: str) -> Iterator[tuple[Database, Stepper, Database, Stepper]]:
    """Return two connections whose commands can be stepped through."""
    one, other = Stepper(), Stepper()
    one.free = other.free = True
    settings = Settings(database="two_committers")
    first, second = (connect(settings, mongodb_uri, listeners=[stepper]) for stepper in (one, other))
    Bench(first)
    first["event"].create_index("event_id", unique=True)
    yield first, one, second, other
    one.free = other.free = True
    first.client.drop_database(first.name)
    close(first)
    close(second)


@pytest.fixture
def sides(clients: tuple[Database, Stepper, Database, Stepper], database_kind: str) -> tuple[Side, Side]:
    first, one, second, other = clients
    one.free = other.free = True
    return Side(Bench(first), one), Side(Bench(second), other)


KEYS = itertools.count()


def items(
    bench: Bench, key: str, steps: Sequence[Step], idempotency_key: str = "", *, together: bool = True
) -> list[WriteRequest]:
    """Return creates of these events: one with all, or one for each."""
    item = bench.item(*((kind, key, at) for kind, at, _ in steps), key=idempotency_key)
    for entry, (_, _, occurred) in zip(item.entries, steps, strict=True):
        event = bench.entry(entry.built.event.draft.event_type, key, 0 if occurred is None else occurred).built.event
        if occurred is not None:
            entry.built.event.draft.occurred_at = event.created_at
        entry.has_past = False
    if together:
        return [item]
    return [WriteRequest([entry], item.rules) for entry in item.entries]


def check(database: Database, keys: Sequence[str]) -> None:
    """Fail unless the alerts of these keys agree with their conditions and are carried by events."""
    conditions = {row["event_key"]: row for row in database["condition"].find({"event_key": {"$in": list(keys)}})}
    events = list(database["event"].find({"event_key": {"$in": list(keys)}}))
    titles = [f"{kind} of {key}" for key in keys for kind in ("ALERT", "RECOVERY")]
    alerts = list(database["alert"].find({"title": {"$in": titles}}))
    for key in keys:
        condition = conditions.get(key)
        opened = [row for row in alerts if row["title"].endswith(f" {key}") and row["state"] != "RESOLVED"]
        carried = {row["alert_id"] for row in events if row["event_key"] == key}
        if condition is None or not condition["open"]:
            assert opened == [], f"{key}: closed, with an alert that is not resolved"
        else:
            assert [row["_id"] for row in opened] == [condition["alert"]["id"]], f"{key}: open, with another alert"
        assert {row["alert_id"] for row in opened} <= carried, f"{key}: an alert that no event carries"


def orders(length: int) -> Iterator[tuple[int, ...]]:
    """Yield orders of the steps of two sides: one side goes first, the other one cuts in once, for 1 to all steps."""
    for first in (0, 1):
        for begin in range(length + 1):
            for count in range(1, length + 1):
                yield (*([first] * begin), *([1 - first] * count), *([first] * (length - begin)))


def race(
    sides: tuple[Side, Side],
    before: Sequence[Step],
    works: tuple[Sequence[Step], Sequence[Step]],
    order: Sequence[int],
    *,
    crash: tuple[int, int] | None = None,
    idempotency_key: str = "",
    together: bool = True,
) -> str:
    """Run two batches in an order of steps, and return the event_key."""
    key = f"key-{next(KEYS)}"
    for step in before:
        sides[0].stepper.free = True
        sides[0].bench.run(*items(sides[0].bench, key, [step]))
    for number, side in enumerate(sides):
        crash_at = crash[1] if crash is not None and crash[0] == number else None
        name = f"{idempotency_key}-{key}" if idempotency_key else ""
        side.start(items(side.bench, key, works[number], name, together=together), crash_at)
    for number in order:
        sides[number].step()
    for number in (order[-1], 1 - order[-1]):
        sides[number].finish()
    return key


@pytest.mark.parametrize("name", RACES)
def test_alerts_agree_with_conditions_after_every_order_of_steps(sides: tuple[Side, Side], name: str) -> None:
    before, *works = RACES[name]
    length = 7
    keys = []
    for begin in range(length + 1):
        for first in (0, 1):
            order = (*([first] * begin), *([1 - first] * length), *([first] * (length - begin)))
            keys.append(race(sides, before, (works[0], works[1]), order))
            assert all(isinstance(result, CreateResult) for side in sides for result in side.results)
            assert all(len(side.results) == 1 for side in sides)
    check(sides[0].bench.database, keys)
