"""What lists, gets and statistics answer, on every database."""

import contextlib
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import InvalidArgument, QueryError
from event_service.model.event import Event, EventDraft, EventType, Severity
from event_service.model.scope import Scope
from event_service.query.fields import EVENT_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.store.client import Database, is_secantus
from event_service.store.compile import MONGODB, MONGOMOCK, SECANTUS, Dialect
from event_service.store.documents import event_document
from event_service.store.event_reader import EventReader
from event_service.wire.struct import encode_struct
from tests.unit.query.hostile import LIST_QUERIES, STAT_QUERIES

DOMAIN = Scope("d-1")
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
HOSTILE_KEYS = {"$where": 1.0, "": "empty", "a\0b": [{"$x": True}], "plain": None, "dot.ted": "d", "␛": "escape"}

_numbers = itertools.count(1)


@pytest.fixture
def dialect(database: Database, database_kind: str) -> Dialect:
    if database_kind == "mongomock":
        return MONGOMOCK
    return SECANTUS if is_secantus(database) else MONGODB


@pytest.fixture
def reader(database: Database, dialect: Dialect) -> EventReader:
    return EventReader(database["event"], dialect=dialect)


def stored(database: Database, *, legacy: bool = False, **values: Any) -> str:
    """Stores an event and returns its id. `legacy`: as upstream does, without the finished reply."""
    number = next(_numbers)
    scope = {name: values.pop(name, default) for name, default in SCOPE_OF_EVENTS.items()}
    created_at = values.pop("created_at", NOON + timedelta(seconds=number))
    alert_id = values.pop("alert_id", "")
    draft = EventDraft(**{"event_key": f"key-{number}", "title": f"event {number}", **values})
    event = Event(f"event-{number:012x}", draft, **scope, created_at=created_at, alert_id=alert_id)
    document = event_document(event, ObjectId())
    if legacy:
        del document["wire"]
    database["event"].insert_one(document)
    return event.event_id


SCOPE_OF_EVENTS = {"domain_id": "d-1", "workspace_id": "w-1", "project_id": "p-1", "webhook_id": "webhook-1"}


def listed(reader: EventReader, scope: Scope = DOMAIN, equals: dict[str, str] | None = None, **query: Any) -> list[Any]:
    page = reader.list(scope, parse_list_query(query, equals or {}, EVENT_FIELDS))
    return [as_json(row) for row in page.rows]


def ids(rows: list[Any]) -> list[str]:
    return [row["event_id"] for row in rows]


def as_json(row: bytes) -> Any:
    return json_format.MessageToDict(event_pb2.EventInfo.FromString(row), preserving_proto_field_name=True)


def counted(reader: EventReader, scope: Scope = DOMAIN, **query: Any) -> tuple[int, int, bool]:
    page = reader.list(scope, parse_list_query(query, {}, EVENT_FIELDS))
    return len(page.rows), page.total_count, page.cut


def statistic(reader: EventReader, *stages: Any, scope: Scope = DOMAIN, **query: Any) -> Any:
    asked = {"aggregate": list(stages), **query}
    return reader.stat(scope, parse_stat_query(asked, EVENT_FIELDS))["results"]


# --- rows -----------------------------------------------------------------------------------------------------


def test_a_row_is_the_event_as_it_came(database: Database, reader: EventReader) -> None:
    event_id = stored(
        database,
        title="Straße",
        event_type=EventType.RECOVERY,
        severity=Severity.INFO,
        resources=["a", "b"],
        occurred_at=NOON,
        created_at=NOON,
        alert_id="alert-1",
        additional_info={"host": "web-1"},
        raw_data=HOSTILE_KEYS,
    )
    (row,) = listed(reader)
    assert row["event_id"] == event_id
    assert row["raw_data"] == HOSTILE_KEYS
    assert row["occurred_at"] == row["created_at"] == "2026-07-01T12:00:00.000Z"
    assert (row["title"], row["event_type"], row["severity"]) == ("Straße", "RECOVERY", "INFO")
    assert (row["resources"], row["additional_info"]) == (["a", "b"], {"host": "web-1"})
    assert row["alert_id"] == "alert-1"
    found = reader.get(DOMAIN, event_id)
    assert found is not None
    assert as_json(found) == row


def test_documents_without_a_finished_reply_are_read_the_same(database: Database, reader: EventReader) -> None:
    for number in range(250):
        stored(database, legacy=number % 3 == 0, raw_data={"a": [1.0, {"b": None}]}, resources=["x"])
    rows = listed(reader, page={"limit": 1000})
    assert len(rows) == 250
    assert ids(rows) == sorted(ids(rows), reverse=True)
    assert all(row["raw_data"] == {"a": [1.0, {"b": None}]} and row["resources"] == ["x"] for row in rows)
    legacy = stored(database, legacy=True, title="old")
    found = reader.get(DOMAIN, legacy)
    assert found is not None
    assert as_json(found)["title"] == "old"


def test_selected_fields_and_nothing_else(database: Database, reader: EventReader) -> None:
    stored(database, title="t", raw_data={"a": {"b": 1.0}, "c": 2.0}, additional_info={"$k": "v"}, resources=["r"])
    assert listed(reader, only=["title"]) == [{"title": "t"}]
    assert listed(reader, only=["raw_data.a.b", "resource"]) == [{"raw_data": {"a": {"b": 1.0}}, "resources": ["r"]}]
    assert listed(reader, only=["raw_data.none"]) == [{"raw_data": {}}]
    assert listed(reader, only=["additional_info"]) == [{"additional_info": {"$k": "v"}}]
    assert listed(reader, only=["title"], minimal=True)[0].keys() == {
        "event_id",
        "event_key",
        "event_type",
        "title",
        "severity",
    }


def test_one_row_per_element(database: Database, reader: EventReader) -> None:
    first = stored(database, resources=["srv-1", "SRV-2", "db"], additional_info={"items": [{"n": 1.0}, {"n": 2.0}]})
    stored(database, resources=[])
    unwind = {"path": "resource", "filter": [{"k": "resource", "o": "contain", "v": "srv"}]}
    rows = listed(reader, unwind=unwind, only=["event_id", "resources"], sort=[{"key": "resources"}])
    assert rows == [{"event_id": first, "resources": ["SRV-2"]}, {"event_id": first, "resources": ["srv-1"]}]
    nested = listed(reader, unwind={"path": "additional_info.items"}, only=["additional_info.items"])
    assert nested == [{"additional_info": {"items": [{"n": 1.0}]}}, {"additional_info": {"items": [{"n": 2.0}]}}]
    assert counted(reader, unwind={"path": "resources"}, only=["title"], count_only=True) == (0, 3, False)
    assert counted(reader, unwind={"path": "resources"}, only=["title"], page={"limit": 2}) == (2, 3, False)
    assert counted(reader, unwind={"path": "nofield"}, only=["title"]) == (0, 0, False)
    assert listed(reader, unwind={"path": "title"}, only=["title"], page={"limit": 1})[0].keys() == {"title"}


def test_added_fields(database: Database, reader: EventReader, database_kind: str) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock: no $cond in $addFields")
    stored(database, severity=Severity.INFO, title="a", raw_data={"n": 5.0})
    stored(database, severity=Severity.ERROR, title="b", raw_data={"n": 1.0})
    choice = {
        "if": {"__or": [{"__eq": ["$severity", "INFO"]}, {"__gt": ["$raw_data.n", 9]}]},
        "then": "$title",
        "else": "$$",
    }
    with pytest.raises(QueryError):
        listed(reader, add_fields={"title": choice}, only=["title"])
    choice["else"] = "no"
    rows = listed(
        reader, add_fields={"title": choice, "resources": ["x"]}, only=["title", "resources"], sort=[{"key": "title"}]
    )
    assert rows == [{"title": "a", "resources": ["x"]}, {"title": "no", "resources": ["x"]}]
    assert listed(reader, add_fields={"description": "$raw_data.n"}, only=["description"], page={"limit": 1}) == [
        {"description": "1.0"}
    ]


# --- pages and counts -----------------------------------------------------------------------------------------


def test_pages_and_their_total(database: Database, reader: EventReader) -> None:
    newest_first = [stored(database) for _ in range(25)][::-1]
    for start, limit in ((1, 10), (11, 10), (21, 10), (25, 1), (26, 1), (1000, 5), (0, 3)):
        page = reader.list(DOMAIN, parse_list_query({"page": {"start": start, "limit": limit}}, {}, EVENT_FIELDS))
        begin = max(start, 1) - 1
        assert ids([as_json(row) for row in page.rows]) == newest_first[begin : begin + limit]
        assert page.total_count == 25
        assert not page.cut
    assert counted(reader, count_only=True, page={"start": 5, "limit": 2}) == (0, 25, False)
    assert counted(reader, page={"start": 7}) == (25, 25, False)


def test_the_server_cuts_only_where_no_limit_was_asked_for(database: Database, dialect: Dialect) -> None:
    for _ in range(12):
        stored(database, raw_data={"text": "x" * 1000})
    few = EventReader(database["event"], list_limit=10, dialect=dialect)
    assert counted(few) == (10, 12, True)
    assert counted(few, page={"limit": 11}) == (11, 12, False)
    small = EventReader(database["event"], max_reply_bytes=3000, dialect=dialect)
    assert counted(small) == (2, 12, True)
    assert counted(small, page={"limit": 12}) == (12, 12, False)
    tiny = EventReader(database["event"], max_reply_bytes=10, dialect=dialect)
    assert counted(tiny) == (1, 12, True)


def test_a_writer_sees_its_own_writes_counted(database: Database, reader: EventReader) -> None:
    for number in range(2, 6):
        stored(database)
        stored(database)
        reader.changed()
        rows, total, _ = counted(reader, page={"limit": 1})
        assert (rows, total) == (1, (number - 1) * 2)


def test_newest_first_with_equal_future_and_missing_times(database: Database, reader: EventReader) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    moments = [now + timedelta(days=2), now, now, now, now - timedelta(hours=5), now - timedelta(days=900)]
    for moment in moments:
        stored(database, created_at=moment)
    for _ in range(2):
        database["event"].update_one({"event_id": stored(database)}, {"$set": {"created_at": None}})
    documents = list(database["event"].find())
    long_ago = datetime(1, 1, 1, tzinfo=UTC)
    documents.sort(key=lambda document: (document["created_at"] or long_ago, document["_id"]), reverse=True)
    expected = [document["event_id"] for document in documents]
    for limit, skip in itertools.product((1, 2, 3, 8, 20), (0, 1, 4, 7)):
        rows = listed(reader, page={"start": skip + 1, "limit": limit}, only=["event_id"])
        assert ids(rows) == expected[skip : skip + limit]
        whole = listed(reader, page={"start": skip + 1, "limit": limit})
        assert ids(whole) == expected[skip : skip + limit]


# --- scope ----------------------------------------------------------------------------------------------------


def test_upstreams_missing_comma(database: Database, reader: EventReader) -> None:
    """Upstream's list has `"workspace_id" "domain_id"`: an admin of one domain sees every domain."""
    mine = stored(database)
    stored(database, domain_id="d-2")
    assert ids(listed(reader)) == [mine]


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        (Scope("d-1"), "abc"),
        (Scope("d-1", "w-1"), "ab"),
        (Scope("d-1", "w-1", ("p-1",)), "a"),
        (Scope("d-1", "w-1", ("p-1", "p-2")), "ab"),
        (Scope("d-1", "w-1", ()), ""),
        (Scope("d-1", None, ("p-3",)), "c"),
        (Scope("d-2"), "d"),
        (Scope("d-3"), ""),
    ],
)
def test_scopes(database: Database, reader: EventReader, scope: Scope, seen: str) -> None:
    for name, domain, workspace, project in (
        ("a", "1", "1", "1"),
        ("b", "1", "1", "2"),
        ("c", "1", "2", "3"),
        ("d", "2", "1", "1"),
    ):
        stored(database, title=name, domain_id=f"d-{domain}", workspace_id=f"w-{workspace}", project_id=f"p-{project}")
    everything = [
        {"k": "domain_id", "o": "exists", "v": True},
        {"k": "domain_id", "o": "in", "v": ["d-1", "d-2"]},
        {"k": "project_id", "o": "not", "v": "x"},
    ]
    for query in ({}, {"filter_or": everything}, {"keyword": "a b c d event"}, {"sort": [{"key": "domain_id"}]}):
        assert {row["title"] for row in listed(reader, scope, **query)} == set(seen)
    assert set(reader.stat(scope, parse_stat_query({"distinct": "title"}, EVENT_FIELDS))["results"]) == set(seen)
    rows = statistic(reader, {"group": {"keys": [{"k": "title", "n": "t"}]}}, scope=scope)
    assert {row["t"] for row in rows} == set(seen)
    for event in database["event"].find():
        assert (reader.get(scope, event["event_id"]) is not None) is (event["title"] in seen)


# --- filters whose meaning differs between servers ------------------------------------------------------------


def test_null_missing_and_negation(database: Database, reader: EventReader, database_kind: str) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock: $gte null passes over missing fields")
    for number, info in enumerate([{"a": 1.0}, {"a": None}, {}, {"a": "x"}, {"a": [1.0, "x"]}, {"a": {"b": 1.0}}]):
        stored(database, title=str(number), additional_info=info)

    def found(operator: str, value: Any = None, key: str = "additional_info.a") -> str:
        return "".join(sorted(row["title"] for row in listed(reader, filter=[{"k": key, "o": operator, "v": value}])))

    assert found("eq", 1) == "04"
    assert found("eq", None) == "12"
    assert found("not", None) == "0345"
    assert found("not", "x") == "0125"
    assert found("gte", None) == "12"
    assert found("lt", None) == ""
    assert found("gt", 0) == "04"
    assert found("eq", {"b": 1}) == "5"
    assert found("exists", True) == "01345"
    assert found("contain", "") == "34"
    assert found("not_contain", "X") == "0125"
    assert found("in", [None, "x"]) == "1234"
    assert found("not_in", []) == "012345"
    assert found("in", []) == found("contain_in", []) == found("regex_in", []) == ""
    assert found("not_contain_in", []) == "012345"
    assert found("regex", "X") == "34"


def test_a_range_on_a_list_keeps_all_matches(database: Database, reader: EventReader) -> None:
    database["event"].create_index("resources")
    stored(database, resources=["a", "z"])
    stored(database, resources=["m"])
    filters = [{"k": "resources", "o": "gte", "v": "b"}, {"k": "resources", "o": "lt", "v": "y"}]
    assert len(listed(reader, filter=filters)) == 2  # a list with one element beyond either bound is within both


def test_members_of_lists(database: Database, reader: EventReader, database_kind: str) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock: an empty $elemMatch matches every list")
    stored(database, title="both", additional_info={"items": [{"n": "a", "v": 1.0}, {"n": "b", "v": 9.0}]})
    stored(database, title="one", additional_info={"items": [{"n": "a", "v": 9.0}]})
    stored(database, title="none", additional_info={"items": ["a"], "s": "x"})

    def found(value: Any) -> set[str]:
        return {
            row["title"] for row in listed(reader, filter=[{"k": "additional_info.items", "o": "match", "v": value}])
        }

    assert found({"n": "a", "v": {"$gt": 5}}) == {"one"}
    assert found({"n": {"$in": ["b", "c"]}}) == {"both"}
    assert found({"n": "a", "v": {"$gte": 1, "$lt": 9}}) == {"both"}
    assert found({}) == {"both", "one"}


def test_literal_substrings(database: Database, reader: EventReader) -> None:
    titles = ["a.b*c", "A.B*C", "axb", "100%", "[x]", "back\\slash", "nul\0l", "Straße", "σς Σ", "서버"]
    for title in titles:
        stored(database, title=title)

    def found(text: str) -> set[str]:
        return {row["title"] for row in listed(reader, filter=[{"k": "title", "o": "contain", "v": text}])}

    assert found("A.b*") == {"a.b*c", "A.B*C"}
    assert found("[X]") == {"[x]"}
    assert found("k\\S") == {"back\\slash"}
    assert found("\0L") == {"nul\0l"}
    assert found("STRAß") == {"Straße"}
    assert found("") == set(titles)


def test_keys_that_cannot_be_stored_are_found_by_their_own_name(database: Database, reader: EventReader) -> None:
    stored(database, title="empty", raw_data={"": "v", "a": {"": 1.0}})
    for key, value in (("raw_data.", "v"), ("raw_data.a.", 1)):
        assert len(listed(reader, filter=[{"k": key, "o": "eq", "v": value}])) == 1
    assert len(listed(reader, filter=[{"k": "raw_data.a", "o": "eq", "v": {"": 1}}])) == 1


def test_character_sets_know_all_letters(database: Database, reader: EventReader) -> None:
    stored(database, title="서버")
    assert len(listed(reader, filter=[{"k": "title", "o": "regex", "v": "^\\w+$"}])) == 1


# --- statistics -----------------------------------------------------------------------------------------------

BY_SEVERITY = {"group": {"keys": [{"k": "severity", "n": "s"}], "fields": [{"n": "c", "o": "count"}]}}


def test_distinct(database: Database, reader: EventReader, database_kind: str) -> None:
    stored(
        database,
        resources=["b", "a"],
        additional_info={"items": [{"n": "x"}, {"n": ["y", "z"]}, 5.0], "m": [[1.0], 2.0]},
    )
    stored(database, resources=["a"], additional_info={"items": {"n": "w"}, "$k": {"": 1.0}, "nul": None})

    def values(name: str, **query: Any) -> Any:
        return reader.stat(DOMAIN, parse_stat_query({"distinct": name, **query}, EVENT_FIELDS))

    assert values("resource") == {"results": ["a", "b"]}
    assert values("resource", page={"limit": 1, "start": 2}) == {"total_count": 2, "results": ["b"]}
    assert values("additional_info.nul") == {"results": [None]}
    assert values("nofield") == values("title.x") == values("additional_info.none") == {"results": []}
    if database_kind != "mongomock":  # which flattens otherwise
        assert values("additional_info.items.n") == {"results": ["w", "x", "y", "z"]}
        assert values("additional_info.items.0.n") == {"results": ["x"]}
        assert sorted(map(str, values("additional_info.m")["results"])) == ["2.0", "[1.0]"]
    assert values("created_at")["results"][0].endswith("Z")
    assert {len(value) for value in values("_id")["results"]} == {24}


def test_groups(database: Database, reader: EventReader) -> None:
    for severity, size in ((Severity.INFO, 1), (Severity.INFO, 2), (Severity.ERROR, None)):
        stored(database, severity=severity, raw_data={"n": size} if size else {}, created_at=NOON)
    fields = [
        {"n": "c", "o": "count"},
        {"n": "sum", "o": "sum", "k": "raw_data.n"},
        {"n": "avg", "o": "average", "k": "raw_data.n"},
        {"n": "a.b", "o": "max", "k": "created_at"},
        {"n": "all", "o": "push", "k": "raw_data.n"},
        {"n": "none", "o": "sum", "k": "nofield"},
    ]
    rows = statistic(
        reader, {"group": {"keys": [{"k": "severity", "n": "심각"}], "fields": fields}}, {"sort": [{"key": "심각"}]}
    )
    noon = "2026-07-01T12:00:00.000Z"
    assert rows == [
        {"심각": "ERROR", "c": 1, "sum": 0, "avg": None, "a.b": noon, "all": [], "none": 0},
        {"심각": "INFO", "c": 2, "sum": 3, "avg": 1.5, "a.b": noon, "all": [1.0, 2.0], "none": 0},
    ]


def test_a_missing_key_is_not_null(database: Database, reader: EventReader) -> None:
    for info in ({"k": "x"}, {"k": None}, {}):
        stored(database, additional_info=info)
    rows = statistic(
        reader, {"group": {"keys": [{"k": "additional_info.k", "n": "k"}], "fields": [{"n": "c", "o": "count"}]}}
    )
    assert sorted(rows, key=str) == sorted([{"k": "x", "c": 1}, {"k": None, "c": 1}, {"c": 1}], key=str)


def test_conditions_are_literals_and_averages_are_of_matching_rows(
    database: Database, reader: EventReader, database_kind: str
) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock: no $literal in $cond")
    for severity, number in ((Severity.INFO, 4.0), (Severity.INFO, 8.0), (Severity.ERROR, 90.0)):
        stored(database, severity=severity, raw_data={"n": number})
    info = [{"k": "severity", "o": "not", "v": "ERROR"}]
    literal = [{"k": "severity", "o": "eq", "v": "$severity"}]
    fields = [
        {"n": "c", "o": "count", "conditions": info},
        {"n": "sum", "o": "sum", "k": "raw_data.n", "conditions": info},
        {"n": "avg", "o": "average", "k": "raw_data.n", "conditions": info},
        {"n": "none", "o": "count", "conditions": literal},
    ]
    assert statistic(reader, {"group": {"fields": fields}}) == [{"c": 2, "sum": 12, "avg": 6, "none": 0}]


@pytest.mark.parametrize(
    ("date_format", "expected"),
    [
        ("year", 2026),
        ("month", 7),
        ("day", 1),
        ("%Y-%m-%d %H:%M:%S.%L", "2026-07-01 12:00:00.000"),
        ("%d %b %B%%", "01 Jul July%"),
        ("week", "week"),
    ],
)
def test_date_formats(
    database: Database, reader: EventReader, database_kind: str, date_format: str, expected: Any
) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock: no dates of null, and its $dateToString is strftime")
    stored(database, created_at=NOON)
    key = {"k": "created_at", "n": "d", "date_format": date_format}
    nothing = {"k": "occurred_at", "n": "o", "date_format": date_format}
    assert statistic(reader, {"group": {"keys": [key, nothing]}}) == [{"d": expected, "o": None}]


def test_pages_of_statistics(database: Database, reader: EventReader) -> None:
    for severity in (Severity.INFO, Severity.ERROR, Severity.CRITICAL):
        stored(database, severity=severity)
    asked = {"aggregate": [BY_SEVERITY, {"sort": [{"key": "s"}]}], "page": {"start": 2, "limit": 1}}
    reply = reader.stat(DOMAIN, parse_stat_query(asked, EVENT_FIELDS))
    assert reply == {"total_count": 3, "results": [{"s": "ERROR", "c": 1}]}
    nothing = parse_stat_query({**asked, "keyword": "zzz"}, EVENT_FIELDS)
    assert reader.stat(DOMAIN, nothing) == {"total_count": 0, "results": []}


def test_no_rows_are_counted_as_zero(database: Database, reader: EventReader) -> None:
    assert statistic(reader, {"count": {"name": "n"}}) == [{"n": 0}]
    stored(database)
    assert statistic(reader, {"count": {"name": "n"}}) == [{"n": 1}]


def test_rows_of_documents_show_the_resources_fields_only(
    database: Database, reader: EventReader, database_kind: str
) -> None:
    event_id = stored(database, raw_data={"$k": 1.0}, created_at=NOON)
    (row,) = statistic(reader, {"limit": 5})
    assert row.keys() == {"_id", "alert", *EVENT_FIELDS.kinds}
    assert (row["event_id"], row["created_at"], row["raw_data"]) == (event_id, "2026-07-01T12:00:00.000Z", {"$k": 1.0})
    if database_kind == "mongomock":
        return  # it shows {} for a missing field
    (shown,) = statistic(
        reader, {"project": {"fields": [{"k": "wire", "n": "w"}, {"k": "title", "n": "t.x"}], "exclude_keys": True}}
    )
    assert shown.keys() == {"t"}


def test_what_the_data_does_not_allow_is_the_callers_fault(
    database: Database, reader: EventReader, database_kind: str
) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock: raises errors of its own")
    stored(database)
    for stages in (
        [BY_SEVERITY, {"project": {"fields": [{"k": "c", "n": "n", "o": "size"}]}}],
        [BY_SEVERITY, {"project": {"fields": [{"k": "c", "n": "n", "o": "array_to_object"}]}}],
        [{"group": {"fields": [{"k": "title", "n": "x", "o": "merge_objects"}]}}],
        [{"group": {"keys": [{"k": "raw_data", "n": "x", "date_format": "year"}]}}],
    ):
        with pytest.raises(QueryError):
            statistic(reader, *stages)


# --- anything -------------------------------------------------------------------------------------------------


@pytest.fixture
def some_events(database: Database) -> Iterator[None]:
    for number in range(5):
        stored(
            database,
            resources=["a", "b"],
            raw_data={"n": float(number), "a": [1.0, {"b": "x"}]},
            additional_info={"items": [{"name": "a"}]},
        )
    return


def test_whatever_is_asked_is_answered_or_the_callers_fault(
    reader: EventReader, database_kind: str, some_events: None
) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock: raises errors of its own")

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(LIST_QUERIES, STAT_QUERIES)
    def ask(list_query: Any, stat_query: Any) -> None:
        with contextlib.suppress(InvalidArgument):
            for row in reader.list(DOMAIN, parse_list_query(list_query, {}, EVENT_FIELDS)).rows:
                as_json(row)
        with contextlib.suppress(InvalidArgument):
            encode_struct(reader.stat(DOMAIN, parse_stat_query(stat_query, EVENT_FIELDS)))

    ask()
