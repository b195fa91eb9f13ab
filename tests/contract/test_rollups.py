"""Totals, positions and groups from rollups equal those of the plain query, on every replica and after every write."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from event_service.model.scope import Scope
from event_service.query.fields import EVENT_FIELDS
from event_service.query.filter import timeless
from event_service.query.list_query import ListQuery, parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.store.client import Database
from event_service.store.compile import compile_filter
from event_service.store.event_reader import EventReader
from event_service.store.totals import rollup_store
from event_service.store.totals.rollup_query import rollup_query_of
from event_service.store.totals.rollup_store import RollupStore, invalidate
from event_service.store.totals.rollups import Rollups
from tests.contract.reading import NOON, document_of, reader, stored  # noqa: F401 - fixtures

SCOPES = [Scope("d-1"), Scope("d-1", "w-1"), Scope("d-1", "w-1", ("p-1",)), Scope("d-1", "w-1", ()), Scope("d-2")]


class World:
    """Events, a clock, and any number of replicas."""

    def __init__(self, database: Database) -> None:
        self.events, self.rollups = database["event"], database[rollup_store.COLLECTION]
        self.database = database
        self.now, self.seconds = NOON, 0.0

    def replica(self) -> Rollups:
        store = RollupStore(self.events, self.rollups)
        count = self.events.count_documents
        return Rollups(store, count, clock=lambda: self.seconds, now=lambda: self.now, background=False)

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)
        self.seconds += timedelta(**by).total_seconds()

    def store(self, at: datetime, **values: Any) -> None:
        stored(self.database, created_at=at, **values)

    def check(self, rollups: Rollups, scope: Scope, query: ListQuery) -> None:
        rollup_query = rollup_query_of(scope, query.where)
        assert rollup_query is not None
        without = compile_filter(scope, timeless(query.where))
        plain = compile_filter(scope, query.where)
        assert rollups.total(rollup_query, without) == self.events.count_documents(plain)


def asked(**query: Any) -> ListQuery:
    return parse_list_query(query, {}, EVENT_FIELDS, NOON)


def since(moment: datetime, operator: str = "datetime_gte") -> dict[str, str]:
    return {"k": "created_at", "v": moment.isoformat(), "o": operator}


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture(scope="module")
def counts() -> dict[str, list[dict[str, Any]]]:
    """The buckets in each kind of database: the first test counts them, the others copy them."""
    return {}


@pytest.fixture
def counted(world: World, database_kind: str, counts: dict[str, list[dict[str, Any]]]) -> Rollups:
    """A replica with rollups of twelve hours."""
    chance = random.Random(6)
    events = [
        document_of(
            created_at=NOON - timedelta(milliseconds=chance.randrange(12 * 3_600_000)),
            domain_id=chance.choice(["d-1", "d-1", "d-2"]),
            project_id=chance.choice(["p-1", "p-2"]),
            severity=chance.choice(["CRITICAL", "INFO"]),
        )
        for _ in range(60)
    ]
    same_time = [
        document_of(created_at=NOON - timedelta(hours=8), severity="INFO", project_id=f"p-{number}")
        for number in range(3)
    ]
    undated = {"event_id": "undated", "domain_id": "d-1", "workspace_id": "w-1", "project_id": "p-1"}
    world.events.insert_many([*events, *same_time, undated])
    if database_kind in counts:
        world.rollups.insert_many(counts[database_kind])
    rollups = world.replica()
    for domain_id in ("d-1", "d-2"):
        rollups.request(domain_id)
    rollups.refresh()
    counts.setdefault(database_kind, list(world.rollups.find()))
    return rollups


def test_totals_equal_those_of_the_plain_query(world: World, counted: Rollups) -> None:
    chance = random.Random(8)
    for scope in SCOPES:
        world.check(counted, scope, asked())
        world.check(counted, scope, asked(filter=[{"k": "severity", "v": ["CRITICAL", "ERROR"], "o": "in"}]))
        for _ in range(6):
            times = [
                since(NOON - timedelta(minutes=chance.randrange(-100, 14 * 60)), operator)
                for operator in chance.sample(["datetime_gte", "datetime_gt", "datetime_lt", "datetime_lte"], 2)
            ]
            world.check(counted, scope, asked(filter=[*times, {"k": "severity", "v": "INFO", "o": "eq"}]))
            world.check(counted, scope, asked(filter=times[:1]))


def test_filters_on_other_fields_need_a_plain_query() -> None:
    for query in (
        {"filter": [{"k": "title", "v": "x", "o": "eq"}]},
        {"filter": [{"k": "severity", "v": "INFO", "o": "not"}]},
        {"filter": [{"k": "severity", "v": None, "o": "eq"}]},
        {"filter": [{"k": "severity", "v": ["INFO"], "o": "not_in"}]},
        {"filter_or": [{"k": "severity", "v": "INFO", "o": "eq"}]},
        {"keyword": "disk"},
    ):
        assert rollup_query_of(SCOPES[0], asked(**query).where) is None


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=3)])
def test_buckets_counted_by_a_clock_that_was_ahead_miss_no_event(
    world: World, counted: Rollups, ahead: timedelta
) -> None:
    world.later(seconds=ahead.total_seconds())
    counted.refresh()
    world.now -= ahead
    other = world.replica()
    for step in range(8):
        world.later(minutes=ahead.total_seconds() / 60 / 6)
        world.store(world.now)
        world.check(counted, SCOPES[0], asked())
        world.check(other, SCOPES[0], asked())
        (counted, other, world.replica())[step % 3].refresh()
        world.later(seconds=2)
        world.check(counted, SCOPES[0], asked())
        world.check(other, SCOPES[0], asked())
        world.check(world.replica(), SCOPES[0], asked())


def test_new_events_counted_immediately_on_every_replica(world: World, counted: Rollups) -> None:
    other = world.replica()
    for step in range(4):
        world.later(minutes=17)
        world.store(world.now - timedelta(seconds=step))
        world.check(counted, SCOPES[0], asked())
        world.check(other, SCOPES[0], asked())
        (counted, other)[step % 2].refresh()
        world.later(seconds=2)
        world.check(counted, SCOPES[0], asked())
        world.check(other, SCOPES[0], asked())


def test_new_process_uses_stored_rollups(world: World, counted: Rollups) -> None:
    fresh = world.replica()
    world.check(fresh, SCOPES[0], asked())
    assert world.rollups.count_documents({"domain_id": "d-1"}) > 5


def test_second_replica_to_advance_adds_nothing(world: World, counted: Rollups) -> None:
    store = RollupStore(world.events, world.rollups)
    world.later(minutes=90)
    world.store(world.now - timedelta(minutes=80))
    newest = max(store.load("d-1"), key=lambda bucket: bucket.begin)
    assert store.advance("d-1", newest, world.now)
    assert not store.advance("d-1", newest, world.now)  # a stale bucket adds nothing twice
    world.later(seconds=2)
    world.check(counted, SCOPES[0], asked())


def test_late_event_counted_as_soon_as_stored(world: World, counted: Rollups) -> None:
    for late in (NOON - timedelta(hours=5), NOON - timedelta(days=2), NOON - timedelta(seconds=50)):
        invalidate(world.rollups, [("d-1", late), ("d-unknown", late)], world.now)
        world.later(seconds=2)
        world.check(counted, SCOPES[0], asked())
        world.store(late)
        world.check(counted, SCOPES[0], asked())
        world.check(counted, SCOPES[0], asked(filter=[since(NOON - timedelta(hours=9))]))
        world.later(minutes=2)
        counted.refresh()
        world.later(minutes=2)
        counted.refresh()
        world.later(seconds=2)
        world.check(counted, SCOPES[0], asked())
    assert not world.rollups.count_documents({"invalidated_at": {"$ne": None}, "domain_id": "d-1"})


def test_expired_events_leave_the_total(world: World) -> None:
    world.store(NOON - timedelta(hours=5))
    world.store(NOON - timedelta(hours=5))
    soon = NOON + timedelta(minutes=1)
    world.events.update_one({}, {"$set": {"expire_at": soon}})
    rollups = world.replica()
    rollups.request("d-1")
    rollups.refresh()
    world.check(rollups, SCOPES[0], asked())
    world.later(minutes=2)
    world.events.delete_many({"expire_at": {"$lt": world.now}})
    rollups.refresh()
    world.check(rollups, SCOPES[0], asked())


def test_totals_groups_and_pages_exact_while_events_expire(
    world: World,
    counted: Rollups,
    reader: EventReader,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MongoDB deletes expired events once a minute, for as long as it takes; rollups are not refreshed meanwhile."""
    monkeypatch.setattr("event_service.store.event_reader.DEEP", 0)
    for at, hours in ((world.now - timedelta(hours=ago), ago) for ago in (9, 6, 3)):
        due = world.now + timedelta(hours=12 - hours)
        world.events.update_many(
            {"created_at": {"$gte": at - timedelta(hours=2), "$lt": at}}, {"$set": {"expire_at": due}}
        )
    rollup_store.clear(world.rollups)
    replica = world.replica()
    replica.request("d-1")
    replica.refresh()
    reader._totals.rollups = replica
    group = {"keys": [{"k": "severity", "n": "severity"}], "fields": [{"n": "count", "o": "count"}]}
    by_severity = parse_stat_query(
        {"aggregate": [{"group": group}, {"sort": [{"key": "severity"}]}]}, EVENT_FIELDS, NOON
    )
    gone = 0
    for _ in range(40):
        world.later(minutes=20)
        overdue = [row["_id"] for row in world.events.find({"expire_at": {"$lte": world.now}}).limit(2)]
        gone += world.events.delete_many({"_id": {"$in": overdue}}).deleted_count
        # Bounds that cut buckets: counts of their parts are cached.
        for query in (asked(), asked(filter=[since(NOON - timedelta(hours=6, minutes=30))])):
            world.check(replica, SCOPES[0], query)
        assert reader._statistics.stat(SCOPES[0], by_severity, replica) == reader._statistics.stat(
            SCOPES[0], by_severity
        )
        plain = [
            row["event_id"] for row in world.events.find({"domain_id": "d-1"}, sort=[("created_at", -1), ("_id", -1)])
        ]
        for start in (1, 9, len(plain) - 3):
            rows = reader.list(SCOPES[0], asked(page={"start": start, "limit": 3}, only=["event_id"])).rows
            assert [row[-18:].decode() for row in rows] == plain[start - 1 :][:3]
    assert gone > 10


def test_audit_finds_events_deleted_by_another_program(world: World, counted: Rollups) -> None:
    world.events.delete_many({"project_id": "p-2"})
    for _ in range(world.rollups.count_documents({"domain_id": "d-1"}) + 3):
        world.later(seconds=2)
        counted.refresh()
    world.check(counted, SCOPES[0], asked())


def test_audit_finds_events_inserted_by_another_program(world: World, counted: Rollups) -> None:
    for ago in (timedelta(days=3), timedelta(days=3, hours=5), timedelta(days=1, hours=2), timedelta(hours=4)):
        world.store(NOON - ago)
    for _ in range(world.rollups.count_documents({"domain_id": "d-1"}) + 3):
        world.later(seconds=2)
        counted.refresh()
    world.check(counted, SCOPES[0], asked())
    world.check(world.replica(), SCOPES[0], asked())


@pytest.mark.parametrize(
    "keys",
    [
        [{"k": "severity", "n": "severity"}],
        [{"k": "created_at", "n": "at", "date_format": "%Y-%m-%dT%H"}, {"k": "severity", "n": "severity"}],
        [{"k": "webhook_id", "n": "hook"}, {"k": "created_at", "n": "day", "date_format": "%Y-%m-%d"}],
        [{"k": "created_at", "n": "minute", "date_format": "%M"}],
        [{"k": "account", "n": "account"}],
    ],
    ids=["severity", "hour and severity", "webhook and day", "minute", "account"],
)
def test_groups_equal_those_of_the_plain_query(
    world: World,
    counted: Rollups,
    reader: EventReader,  # noqa: F811
    keys: list[dict[str, str]],
) -> None:
    world.later(minutes=30)
    world.store(world.now, severity="INFO")
    statistics = reader._statistics
    for filters in (
        [since(NOON - timedelta(hours=9, minutes=7)), since(NOON - timedelta(hours=2, minutes=7), "datetime_lt")],
        [since(NOON - timedelta(hours=4, minutes=7)), {"k": "severity", "v": "INFO", "o": "eq"}],
        [],
    ):
        group = {"keys": keys, "fields": [{"n": "count", "o": "count"}]}
        order = [{"key": "count", "desc": True}, *({"key": key["n"]} for key in keys)]
        query = parse_stat_query(
            {"filter": filters, "aggregate": [{"group": group}, {"sort": order}, {"limit": 40}]}, EVENT_FIELDS, NOON
        )
        plain = statistics.stat(SCOPES[0], query)
        assert statistics.stat(SCOPES[0], query, counted) == plain


def test_cleared_rollups_are_not_used(world: World, counted: Rollups) -> None:
    rollup_store.clear(world.rollups)
    world.later(seconds=2)
    rollup_query = rollup_query_of(SCOPES[0], asked().where)
    assert rollup_query is not None
    assert counted.total(rollup_query, {"domain_id": "d-1"}) is None


def test_domain_above_the_limit_has_no_rollup(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup_store, "MAX_COUNTS", 1)
    for number in range(4):
        world.store(NOON - timedelta(hours=1), webhook_id=f"webhook-{number}")
    rollups = world.replica()
    rollups.request("d-1")
    rollups.refresh()
    rollup_query = rollup_query_of(SCOPES[0], asked().where)
    assert rollup_query is not None
    assert rollups.total(rollup_query, {"domain_id": "d-1"}) is None


@pytest.mark.parametrize("scope", SCOPES[:3], ids=["domain", "workspace", "project"])
def test_pages_by_seek_equal_those_of_the_plain_query(
    world: World,
    counted: Rollups,
    scope: Scope,
    reader: EventReader,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("event_service.store.event_reader.DEEP", 0)
    reader._totals.rollups = counted
    order = [("created_at", -1), ("_id", -1)]
    chance = random.Random(4)
    for filters in (
        [],
        [{"k": "severity", "v": "INFO", "o": "eq"}],
        [since(NOON - timedelta(hours=7, minutes=7))],
        [since(NOON - timedelta(hours=3, minutes=7), "datetime_lt")],
        [since(NOON - timedelta(hours=9, minutes=7)), since(NOON - timedelta(hours=3, minutes=7), "datetime_lte")],
    ):
        where = asked(filter=filters).where
        plain = [row["event_id"] for row in world.events.find(compile_filter(scope, where), sort=order)]
        for start in {1, 2, len(plain), len(plain) + 1, *(chance.randrange(1, len(plain) + 3) for _ in range(4))}:
            query = asked(filter=filters, page={"start": max(start, 1), "limit": 7}, only=["event_id"])
            rows = reader.list(scope, query).rows
            assert [row[-18:].decode() if b"undated" not in row else "undated" for row in rows] == (
                plain[max(start, 1) - 1 :][:7]
            )
