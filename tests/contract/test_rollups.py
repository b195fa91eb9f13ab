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
from event_service.store.event_reader import EventReader, Page
from event_service.store.totals import rollup_store
from event_service.store.totals.buckets import GROUPINGS, MAX_COUNTS, Level
from event_service.store.totals.rollup_query import RollupQuery, rollup_query_of
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
    newest = store.newest("d-1")
    assert newest is not None
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
    over = {"domain_id": "d-1", "end": {"$lt": world.now}}
    assert not world.rollups.count_documents({**over, "invalidated_at": {"$ne": None}})


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


@pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)
def test_absent_severity_reads_no_event(
    world: World,
    counted: Rollups,
    reader: EventReader,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader._totals.rollups = counted
    absent = asked(filter=[{"k": "severity", "v": "ERROR", "o": "eq"}], page={"limit": 10})
    with monkeypatch.context() as patched:
        patched.setattr(reader, "_page", lambda *_: pytest.fail("a page was read"))
        assert reader.list(SCOPES[0], absent) == Page([], 0)
    late = NOON - timedelta(hours=5)
    invalidate(world.rollups, [("d-1", late)], world.now)
    world.store(late, severity="ERROR")
    # At once, although buckets are checked once a second.
    assert len(reader.list(SCOPES[0], absent).rows) == 1


@pytest.fixture
def months(world: World) -> Rollups:
    """A replica with rollups of twelve weeks, three events for most days."""
    chance = random.Random(9)
    events = [
        document_of(
            created_at=NOON - timedelta(days=days, seconds=chance.randrange(86_400)),
            workspace_id=chance.choice(["w-1", "w-1", "w-2"]),
            project_id=chance.choice(["p-1", "p-2", "p-3"]),
            severity=chance.choice(["CRITICAL", "INFO"]),
            provider=chance.choice(["aws", "azure"]),
        )
        for days in range(84)
        if days % 4 != 1
        for _ in range(3)
    ]
    world.events.insert_many(events)
    rollups = world.replica()
    rollups.request("d-1")
    rollups.refresh()
    return rollups


def check_everything(world: World, rollups: Rollups, chance: random.Random) -> None:
    """Compare totals of some scopes, filters and ranges with plain counts."""
    severity = {"k": "severity", "v": "INFO", "o": "eq"}
    provider = {"k": "provider", "v": "aws", "o": "eq"}
    for scope in SCOPES[:4]:
        for filters in ([], [severity], [provider], [severity, provider]):
            world.check(rollups, scope, asked(filter=filters))
            bounds = sorted(chance.randrange(-60, 90 * 24 * 60) for _ in range(2))
            times = [
                since(NOON - timedelta(minutes=bounds[1])),
                since(NOON - timedelta(minutes=bounds[0]), "datetime_lt"),
            ]
            world.check(rollups, scope, asked(filter=[*times, *filters]))


@pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)
def test_days_and_months_replace_hours(world: World, months: Rollups) -> None:
    check_everything(world, months, random.Random(1))
    levels = [world.rollups.count_documents({"level": int(level)}) for level in Level]
    assert levels[0] > 100
    assert levels[1:] == [75, 3]
    pieces = months._pieces(RollupQuery("d-1"), GROUPINGS[0])
    assert pieces is not None
    assert len(pieces) < 60


@pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)
@pytest.mark.parametrize("limits", [(1, 3000, 30_000), (1, 1, 30_000), (1, 1, 1), (4, 5, 6)])
def test_totals_exact_where_buckets_lack_counts(
    world: World,
    months: Rollups,
    limits: tuple[int, int, int],
    reader: EventReader,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for level, limit in zip(Level, limits, strict=True):
        monkeypatch.setitem(MAX_COUNTS, level, limit)
    monkeypatch.setattr("event_service.store.totals.rollups.MAX_SPANS", 100_000)
    rollup_store.clear(world.rollups)
    months.request("d-1")
    months.refresh()
    check_everything(world, months, random.Random(2))
    group = {"keys": [{"k": "provider", "n": "p"}, {"k": "severity", "n": "s"}], "fields": [{"n": "n", "o": "count"}]}
    query = parse_stat_query({"aggregate": [{"group": group}, {"sort": [{"key": "p"}, {"key": "s"}]}]}, EVENT_FIELDS)
    assert reader._statistics.stat(SCOPES[0], query, months) == reader._statistics.stat(SCOPES[0], query)


@pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)
def test_too_many_live_counts_are_left_to_the_database(
    world: World, months: Rollups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("event_service.store.totals.rollups.MAX_SPANS", 1)
    world.rollups.update_many({"level": {"$gt": 0}}, {"$set": {"invalidated_at": NOON}})
    world.rollups.update_many({"begin": {"$lt": NOON - timedelta(days=3)}}, {"$set": {"invalidated_at": NOON}})
    replica = world.replica()
    assert replica.total(RollupQuery("d-1"), {"domain_id": "d-1"}) is None


@pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)
def test_totals_exact_under_writers_expiry_and_two_replicas(
    world: World, months: Rollups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random steps: new events, late events of any age, expiry, refreshes of either replica."""
    monkeypatch.setattr("event_service.store.totals.rollups.MAX_SPANS", 100_000)
    chance = random.Random(5)
    replicas = [months, world.replica()]
    for _ in range(40):
        step = chance.randrange(5)
        if step == 0:
            world.store(world.now, severity="INFO", provider="aws")
        elif step == 1:
            late = world.now - timedelta(minutes=chance.randrange(1, 80 * 24 * 60))
            invalidate(world.rollups, [("d-1", late)], world.now)
            world.later(seconds=2)
            world.store(late, severity="INFO", provider="aws")
        elif step == 2:
            for row in list(world.events.find().sort("created_at", 1).limit(2)):
                invalid_from = {"$set": {"expire_at": row["created_at"]}}
                invalidate(world.rollups, [("d-1", row["created_at"])], world.now)
                world.later(seconds=2)
                world.events.update_one({"_id": row["_id"]}, invalid_from)
            world.events.delete_many({"expire_at": {"$lt": world.now}})
        elif step == 3:
            world.later(minutes=chance.choice([1, 50, 700]))
        else:
            chance.choice(replicas).refresh()
            world.later(seconds=2)
        for replica in (chance.choice(replicas), world.replica()):
            scope = chance.choice(SCOPES[:4])
            world.check(replica, scope, asked())
            bound = since(world.now - timedelta(minutes=chance.randrange(100 * 24 * 60)))
            world.check(replica, scope, asked(filter=[bound, {"k": "severity", "v": "INFO", "o": "eq"}]))


@pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)
def test_stopped_build_is_continued(world: World, months: Rollups) -> None:
    world.rollups.update_one({"build": {"$exists": True}}, {"$set": {"ready": False}})
    world.rollups.delete_many({"begin": {"$lt": NOON - timedelta(days=30)}})
    replica = world.replica()
    assert replica.total(RollupQuery("d-1"), {"domain_id": "d-1"}) is None
    late = NOON - timedelta(days=50, minutes=3)
    invalidate(world.rollups, [("d-1", late)], world.now)
    world.store(late)
    world.later(seconds=40)
    replica.request("d-1")
    replica.refresh()
    check_everything(world, replica, random.Random(3))


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
