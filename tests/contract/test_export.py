"""Exports return every event of the scope once, in order, from any position."""

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import QueryTimeout
from event_service.model.scope import Scope
from event_service.query.fields import EVENT_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.store.client import Database
from event_service.store.export_reader import ExportReader, Position
from tests.contract.reading import DOMAIN, NOON, stored


@pytest.fixture
def exporter(database: Database) -> ExportReader:
    return ExportReader(database["event"], page_rows=7)


def exported(
    exporter: ExportReader, scope: Scope = DOMAIN, position: Position | None = None, **query: object
) -> list[str]:
    """Return the event_ids of all pages."""
    where = parse_list_query(query, {}, EVENT_FIELDS).where
    position = position or Position()
    ids: list[str] = []
    while rows := exporter.page(scope, where, position):
        ids += [event_pb2.EventInfo.FromString(row).event_id for row in rows]
        assert position.token.endswith(f"/{ids[-1]}")
    return ids


def test_every_event_once_oldest_first(database: Database, exporter: ExportReader) -> None:
    chance = Random(1)
    # Far apart, close together, and more than a page of one millisecond; some as upstream stores them.
    times = [NOON - timedelta(days=chance.randrange(3000)) for _ in range(15)]
    times += [NOON + timedelta(milliseconds=number) for number in range(20)] + [NOON + timedelta(hours=1)] * 20
    times += [NOON + timedelta(days=40_000)]  # a clock that is wrong
    chance.shuffle(times)
    made = [(at, number, stored(database, created_at=at, legacy=number % 5 == 0)) for number, at in enumerate(times)]
    assert exported(exporter) == [event_id for _, _, event_id in sorted(made)]
    assert exporter.page(DOMAIN, parse_list_query({}, {}, EVENT_FIELDS).where, Position(NOON)) != []


def test_export_of_no_events(exporter: ExportReader) -> None:
    assert exported(exporter) == []
    assert exported(exporter, filter=[{"k": "created_at", "v": "2020", "o": "datetime_gte"}]) == []


def test_export_resumes_after_any_event(database: Database, exporter: ExportReader) -> None:
    times = [NOON] * 10 + [NOON + timedelta(seconds=number) for number in range(10)]
    ids = [stored(database, created_at=at) for at in times]
    for number, event_id in enumerate(ids):
        position = exporter.position_of(DOMAIN, times[number], event_id)
        assert exported(exporter, position=position) == ids[number + 1 :]


def test_deleted_event_in_the_token_repeats_its_millisecond(database: Database, exporter: ExportReader) -> None:
    ids = [stored(database, created_at=at) for at in (NOON, NOON, NOON + timedelta(seconds=1))]
    later = stored(database, created_at=NOON + timedelta(seconds=2))
    database["event"].delete_one({"event_id": ids[1]})
    position = exporter.position_of(DOMAIN, NOON, ids[1])
    assert exported(exporter, position=position) == [ids[0], ids[2], later]


def test_filters_apply(database: Database, exporter: ExportReader) -> None:
    ids = [stored(database, severity="CRITICAL" if number % 3 else "INFO") for number in range(30)]
    critical = {"filter": [{"k": "severity", "v": "CRITICAL", "o": "eq"}]}
    assert exported(exporter, **critical) == [event_id for number, event_id in enumerate(ids) if number % 3]
    hour = [
        {"k": "created_at", "v": NOON.isoformat(), "o": "datetime_gte"},
        {"k": "created_at", "v": (NOON - timedelta(hours=1)).isoformat(), "o": "datetime_lt"},
    ]
    assert exported(exporter, filter=hour) == []


def test_page_is_bounded_in_bytes(database: Database) -> None:
    exporter = ExportReader(database["event"], page_bytes=20_000)
    sizes = [15_000, 1_000, 1_000, 15_000, 90_000, 1_000]
    ids = [stored(database, raw_data={"text": "x" * size}) for size in sizes]
    where, position, pages = parse_list_query({}, {}, EVENT_FIELDS).where, Position(), []
    while rows := exporter.page(DOMAIN, where, position):
        pages.append([event_pb2.EventInfo.FromString(row).event_id for row in rows])
    assert pages == [ids[:4], ids[4:5], ids[5:]]


def test_timed_out_page_is_read_in_time_windows(
    database: Database, exporter: ExportReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database times out on more than two hours of events."""
    times = [NOON + timedelta(hours=hour) for hour in (0, 0, 0, 1, 1, 30, 31, 31, 31, 31, 500, 501)]
    ids = [stored(database, created_at=at, severity="ERROR" if at.hour % 2 else "INFO") for at in times]
    read = exporter._read

    def impatient(matching: dict[str, Any]) -> Any:
        bounds = [matching["created_at"], *(clause.get("created_at", {}) for clause in matching.get("$and", ()))]
        start = max(bound["$gte"] for bound in bounds if "$gte" in bound)
        end = min((bound["$lt"] for bound in bounds if "$lt" in bound), default=times[-1] + timedelta(days=1))
        within = [at for at in times if start <= at < end]
        if within and within[-1] - within[0] > timedelta(hours=2):
            raise QueryTimeout("The query took too long.")
        return read(matching)

    monkeypatch.setattr(exporter, "_read", impatient)
    assert exported(exporter) == ids
    errors = {"filter": [{"k": "severity", "v": "ERROR", "o": "eq"}]}
    assert exported(exporter, **errors) == [one for one, at in zip(ids, times, strict=True) if at.hour % 2]

    def hopeless(matching: dict[str, Any]) -> Any:
        raise QueryTimeout("The query took too long.")

    monkeypatch.setattr(exporter, "_read", hopeless)
    with pytest.raises(QueryTimeout):
        exported(exporter)


SCOPES = {
    "domain": Scope("d-1"),
    "workspace": Scope("d-1", "w-1"),
    "projects": Scope("d-1", "w-1", ("p-1", "p-2")),
    "project": Scope("d-1", "w-1", ("p-2",)),
    "nothing": Scope("d-1", "w-1", ()),
    "other domain": Scope("d-2"),
}


@pytest.mark.parametrize("name", SCOPES)
def test_export_never_returns_events_of_another_domain(database: Database, exporter: ExportReader, name: str) -> None:
    """Two domains have events in the same milliseconds; tokens name events of either."""
    chance, scope = Random(2), SCOPES[name]
    made = []
    for number in range(60):
        place = {
            "domain_id": chance.choice(("d-1", "d-2")),
            "workspace_id": chance.choice(("w-1", "w-2")),
            "project_id": chance.choice(("p-1", "p-2", "p-3")),
        }
        at = NOON + timedelta(milliseconds=number // 8)
        made.append((place, at, stored(database, created_at=at, **place)))
    own = [
        (at, event_id)
        for place, at, event_id in made
        if place["domain_id"] == scope.domain_id
        and scope.workspace_id in (None, place["workspace_id"])
        and (scope.projects is None or place["project_id"] in scope.projects)
    ]
    assert exported(exporter, scope) == [event_id for _, event_id in own]
    anything = {"filter_or": [{"k": "domain_id", "v": "d-2", "o": "eq"}, {"k": "title", "v": "", "o": "contain"}]}
    assert exported(exporter, scope, **anything) == [event_id for _, event_id in own]
    for place, at, event_id in made[::7]:
        position = exporter.position_of(scope, at, event_id)
        mine = (at, event_id) in own
        # A foreign event does not exist for the scope: its millisecond is read from the beginning.
        behind = own[own.index((at, event_id)) + 1 :] if mine else [one for one in own if one[0] >= at]
        assert exported(exporter, scope, position) == [event_id for _, event_id in behind], place
