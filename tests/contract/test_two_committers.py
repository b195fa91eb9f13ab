"""Two committers on one database, through every order of their steps: their alerts and conditions agree after each.

Each committer runs in a thread of its own and stops before every command that it sends to the database; a test lets one
of them send one command at a time. A command that waits for the other side's lock counts as sent.
"""

import itertools
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from pymongo.monitoring import CommandListener, CommandStartedEvent

from event_service.alerts.changes import AlertChanges
from event_service.alerts.transitions import AlertChange
from event_service.errors import InvalidArgument
from event_service.events.write_request import CreateResult, WriteRequest
from event_service.model.event import EventType
from event_service.settings import Settings
from event_service.store.client import Database, close, connect
from event_service.store.indexes import ensure
from event_service.store.maintenance.alert_states import Disagreements, find
from event_service.store.transaction import transaction
from tests.chaos.scale import ROUNDS
from tests.contract.test_committer import ALERT, CHANGES, NOON, RECOVERY, Bench, Crash

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True),  # mongomock has no transactions
]

Step = tuple[EventType, float, float | None]
"""Type of an event, when it is received, and when it occurred, in seconds."""

Work = Callable[[Bench], Sequence[object]]
"""What one side does: writes a batch, or changes an alert."""

RACES: dict[str, tuple[Sequence[Step], Sequence[Step] | str, Sequence[Step] | str]] = {
    # What is stored before; what one side writes or changes; what the other one does.
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
    "alert | resolve": ([(ALERT, 0, None)], [(ALERT, 1, None)], "resolve"),
    "recovery | resolve": ([(ALERT, 0, None)], [(RECOVERY, 1, None)], "resolve"),
    "superseding | acknowledge": ([(ALERT, 0, None)], [(ALERT, 700, None)], "acknowledge"),
    "resolve | resolve": ([(ALERT, 0, None)], "resolve", "resolve"),
    "superseding | expire": ([(ALERT, 0, None)], [(ALERT, 700, None)], "expire"),
    "alert | reopen": ([(ALERT, 0, None), (RECOVERY, 1, None)], [(ALERT, 2, None)], "reopen"),
    "recovery and alert | outdated recovery and alert": (
        [(ALERT, 0, None)],
        [(RECOVERY, 1, None), (ALERT, 2, None)],
        [(RECOVERY, 3, -5), (ALERT, 4, None)],
    ),
}

STEPS = 6  # commands of one attempt: read, alert, condition, event, and two of resolution, second condition and commit
PATIENCE = 0.03  # seconds; a command that takes longer waits for the other side


class Stepper(CommandListener):
    """Stops one side before each of its commands, unless it is free."""

    def __init__(self) -> None:
        self.free = True
        self.ended = False
        self._allowed = threading.Semaphore(0)
        self._arrived = threading.Semaphore(0)

    def started(self, event: CommandStartedEvent) -> None:
        if not self.free and event.command_name not in {"abortTransaction", "endSessions"}:
            self.arrive()
            self._allowed.acquire()

    def succeeded(self, event: object) -> None:
        """Called by the driver."""

    def failed(self, event: object) -> None:
        """Called by the driver."""

    def arrive(self) -> None:
        """Note that the side has stopped."""
        self._arrived.release()

    def end(self) -> None:
        self.ended = True
        self.arrive()

    def step(self) -> None:
        """Let it send one command, and wait for it to arrive at the next one."""
        if not self.ended:
            self._allowed.release()
            self.wait()

    def wait(self) -> None:
        self._arrived.acquire(timeout=PATIENCE)

    def release(self) -> None:
        """Let it run to its end."""
        self.free = True
        self._allowed.release(100)


class Side:
    """One replica: its committer, and the thread of its batch."""

    def __init__(self, database: Database, stepper: Stepper) -> None:
        self.bench = Bench(database)
        self.stepper = stepper
        self.results: Sequence[object] = []
        self._thread = threading.Thread()

    def start(self, work: Work, crash_at: int | None) -> None:
        """Start to work, up to the first command.

        Args:
            crash_at: it dies at this call of a store.
        """
        self.results = []
        self.stepper.__init__()  # type: ignore[misc]
        bench = Bench(self.bench.database)
        if crash_at is not None:
            crash(bench, crash_at)

        def run() -> None:
            with suppress(Crash):
                try:
                    self.results = work(bench)
                except InvalidArgument as refusal:  # the alert or its condition has changed meanwhile
                    self.results = [refusal]
            self.stepper.end()

        self._thread = threading.Thread(target=run)
        self.stepper.free = False
        self._thread.start()
        self.stepper.wait()

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()


def crash(bench: Bench, crash_at: int) -> None:
    """Let the bench die at the n-th call of a store."""
    calls = itertools.count()

    class Store:
        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            if next(calls) >= crash_at:
                raise Crash(name)
            return getattr(self._store, name)

    stores: dict[str, Any] = {
        name: Store(getattr(bench, name)) for name in ("conditions", "alerts", "events", "records")
    }
    bench.commit = bench.committer(**stores)
    del stores["records"]
    bench.changes = AlertChanges(transaction=partial(transaction, bench.database), **stores)


@pytest.fixture(scope="module")
def connections(mongodb_uri: str) -> Iterator[list[tuple[Database, Stepper]]]:
    """Return two connections whose commands can be stepped through."""
    steppers = [Stepper(), Stepper()]
    settings = Settings(database="two_committers")
    databases = [connect(settings, mongodb_uri, listeners=[stepper]) for stepper in steppers]
    ensure(databases[0])
    yield list(zip(databases, steppers, strict=True))
    databases[0].client.drop_database(settings.database)
    for database in databases:
        close(database)


@pytest.fixture
def sides(connections: list[tuple[Database, Stepper]], database_kind: str) -> tuple[Side, Side]:
    """Return two replicas."""
    for _, stepper in connections:
        stepper.free = True
    one, other = connections
    return Side(*one), Side(*other)


KEYS = itertools.count()


def batch_of(
    bench: Bench, key: str, steps: Sequence[Step], idempotency_key: str = "", *, apart: bool = False
) -> list[WriteRequest]:
    """Return one create of these events, or one for each."""
    item = bench.item(*((kind, key, at) for kind, at, _ in steps), key=idempotency_key)
    for entry, (_, _, occurred) in zip(item.entries, steps, strict=True):
        entry.has_past = False
        if occurred is not None:
            entry.built.event.draft.occurred_at = NOON + timedelta(seconds=occurred)
    return [WriteRequest([entry], item.rules) for entry in item.entries] if apart else [item]


def change_of(key: str, change: str) -> Work:
    """Return the work of changing the newest alert of a key."""

    def work(bench: Bench) -> Sequence[object]:
        row = bench.database["condition"].find_one({"event_key": key})
        if row is None or row["alert"] is None:
            return []
        return [bench.change(row["alert"]["alert_id"], change)]

    return work


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


def orders() -> Iterator[tuple[int, ...]]:
    """Yield orders of the steps of two sides: in `make test` those in which one side cuts in once, else all."""
    if ROUNDS:
        for places in itertools.combinations(range(2 * STEPS), STEPS):
            yield tuple(int(place in places) for place in range(2 * STEPS))
        return
    for first, begin, count in itertools.product((0, 1), range(STEPS + 1), range(1, STEPS + 1, 2)):
        yield (*([first] * begin), *([1 - first] * count), *([first] * (STEPS - begin)))


def race(
    sides: tuple[Side, Side],
    works: Sequence[Work],
    order: Sequence[int],
    crash: tuple[int, int] | None = None,
) -> None:
    """Run the work of both sides in an order of steps.

    Args:
        crash: the side that dies, and at which call of a store.
    """
    for number, side in enumerate(sides):
        side.start(works[number], crash[1] if crash is not None and crash[0] == number else None)
    for number in order:
        sides[number].stepper.step()
    for side in sides:
        side.stepper.release()
    for side in sides:
        side.join()


def writing(key: str, steps: Sequence[Step], **options: Any) -> Work:
    """Return the work of writing a batch of these events."""
    return lambda bench: bench.run(*batch_of(bench, key, steps, **options))


def run_race(sides: tuple[Side, Side], name: str, order: Sequence[int], crash: tuple[int, int] | None = None) -> str:
    """Run one of RACES on a new key, and return the key."""
    before, *works = RACES[name]
    key = f"key-{next(KEYS)}"
    for step in before:
        sides[0].bench.run(*batch_of(sides[0].bench, key, [step]))
    race(sides, [change_of(key, one) if isinstance(one, str) else writing(key, one) for one in works], order, crash)
    return key


@pytest.mark.parametrize("name", RACES)
def test_alerts_agree_with_conditions_after_every_order_of_steps(sides: tuple[Side, Side], name: str) -> None:
    keys = []
    for order in orders():
        keys.append(run_race(sides, name, order))
        done = {type(result) for side in sides for result in side.results}
        assert done <= {CreateResult, AlertChange, InvalidArgument}, order
        assert all(side.results for side in sides), order
    check(sides[0].bench.database, keys)


@pytest.mark.parametrize("name", RACES)
def test_alerts_agree_with_conditions_after_a_crash_at_any_step(sides: tuple[Side, Side], name: str) -> None:
    crashes = itertools.product((0, 1), range(6))
    keys = [
        run_race(sides, name, (*([first] * begin), *([1 - first] * STEPS)), crash)
        for crash in crashes
        for first, begin in itertools.product((0, 1), range(0, STEPS, 2))
    ]
    check(sides[0].bench.database, keys)


@pytest.mark.parametrize("crash", [None, *itertools.product((0, 1), range(6))], ids=str)
def test_one_idempotency_key_at_both_sides_stores_its_events_once(
    sides: tuple[Side, Side], crash: tuple[int, int] | None
) -> None:
    database = sides[0].bench.database
    keys = []
    for order in orders() if crash is None else [[0, 1] * STEPS, [0] * 3 + [1] * STEPS, [1] * 3 + [0] * STEPS]:
        key = f"key-{next(KEYS)}"
        keys.append(key)
        steps = [(ALERT, 0, None), (RECOVERY, 1, None), (ALERT, 2, None)]
        work = writing(key, steps, idempotency_key=f"record of {key}")
        race(sides, [work, work], order, crash)
        retry, *others = [*work(sides[0].bench), *sides[0].results, *sides[1].results]
        assert isinstance(retry, CreateResult)
        results = [result for result in others if isinstance(result, CreateResult)]
        assert len(results) == 2 if crash is None else 1 <= len(results) <= 2
        assert [result.event_ids for result in results] == [retry.event_ids] * len(results)
        assert sum(not result.duplicate for result in (retry, *results)) == 1
        stored = list(database["event"].find({"event_key": key}))
        assert sorted(row["event_id"] for row in stored) == sorted(retry.event_ids)
        assert len(stored) == 3
    check(database, keys)


def test_random_races_leave_alerts_that_agree(sides: tuple[Side, Side]) -> None:
    chance = random.Random(18)

    def steps(most: int, begin: float) -> list[Step]:
        kinds = [chance.choice((ALERT, RECOVERY)) for _ in range(chance.randint(1, most))]
        return [
            (kind, begin + place, chance.choice((None, None, begin - 3, begin + 2))) for place, kind in enumerate(kinds)
        ]

    keys = []
    for number in range(80 * ROUNDS or 300):
        key = f"key-{next(KEYS)}"
        keys.append(key)
        for step in steps(3, 0)[chance.randint(0, 1) :]:
            sides[0].bench.run(*batch_of(sides[0].bench, key, [step]))
        apart = chance.random() < 0.5
        begin = chance.choice((5, 700))
        works = [writing(key, steps(3, begin), apart=apart) for _ in sides]
        if number % 2:
            works[chance.randint(0, 1)] = change_of(key, chance.choice(list(CHANGES)))
        crash = (chance.randint(0, 1), chance.randint(0, 5)) if number % 3 == 0 else None
        race(sides, works, [chance.randint(0, 1) for _ in range(2 * STEPS)], crash)
    check(sides[0].bench.database, keys)
    assert find(sides[0].bench.database, 5000) == Disagreements()
