"""Replies to list, get and stat."""

import contextlib
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from event_service.errors import InvalidArgument, QueryError, TooLarge
from event_service.model.event import EventType, Severity
from event_service.model.scope import Scope
from event_service.query.fields import EVENT_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.store.client import Database
from event_service.store.event_reader import EventReader
from event_service.store.reply_limit import ReplyLimit
from event_service.wire.struct_encode import encode_struct
from tests.contract.reading import DOMAIN, NOON, as_json, counted, ids, listed, reader, statistic, stored
from tests.unit.query.hostile import LIST_QUERIES, STAT_QUERIES

__all__ = ["reader"]

HOSTILE_KEYS = {"$where": 1.0, "": "empty", "a\0b": [{"$x": True}], "plain": None, "dot.ted": "d", "␛": "escape"}

# --- rows -----------------------------------------------------------------------------------------------------


def test_row_equals_the_event(database: Database, reader: EventReader) -> None:
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


def test_documents_without_wire_give_the_same_rows(database: Database, reader: EventReader) -> None:
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


def test_only_selected_fields_are_returned(database: Database, reader: EventReader) -> None:
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


def test_unwind_gives_one_row_per_element(database: Database, reader: EventReader) -> None:
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


def test_page_is_cut_only_without_a_limit(database: Database) -> None:
    for _ in range(12):
        stored(database, raw_data={"text": "x" * 1000})
    few = EventReader(database["event"], limit=ReplyLimit(rows=10))
    assert counted(few) == (10, 12, True)
    assert counted(few, page={"limit": 11}) == (11, 12, False)
    small = EventReader(database["event"], limit=ReplyLimit(size=3000))
    assert counted(small) == (2, 12, True)
    assert counted(small, page={"limit": 8}) == (8, 12, False)
    tiny = EventReader(database["event"], limit=ReplyLimit(size=10))
    assert counted(tiny) == (1, 12, True)
    assert counted(tiny, page={"limit": 1}) == (1, 12, False)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"only": ["raw_data"]},
        {"only": ["raw_data", "resources"], "unwind": {"path": "resources"}},
        {"only": ["raw_data", "title"], "add_fields": {"title": "t"}},
    ],
    ids=["whole", "only", "unwind", "add_fields"],
)
def test_page_that_is_too_large_for_its_limit_is_refused(database: Database, query: dict[str, Any]) -> None:
    for _ in range(12):
        stored(database, raw_data={"text": "x" * 1000}, resources=["r"])
    small = EventReader(database["event"], limit=ReplyLimit(size=2000))
    assert counted(small, **query, page={"limit": 3}) == (3, 12, False)
    with pytest.raises(TooLarge, match=r"query\.page\.limit: the rows exceed 8000 bytes: ask for fewer"):
        small.list(DOMAIN, parse_list_query({**query, "page": {"limit": 12}}, {}, EVENT_FIELDS))


def test_writer_sees_its_own_writes_in_the_total(
    database: Database, reader: EventReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("event_service.store.totals.event_totals._CHEAP", 60.0)  # also where the machine is busy
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


def test_domain_admin_sees_one_domain(database: Database, reader: EventReader) -> None:
    """Upstream's list has `"workspace_id" "domain_id"`, without a comma, and shows every domain."""
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


def test_filters_on_members_of_lists(database: Database, reader: EventReader) -> None:
    stored(database, title="both", additional_info={"items": [{"n": "a", "v": 1.0}, {"n": "b", "v": 9.0}]})
    stored(database, title="one", additional_info={"items": [{"n": "a", "v": 9.0}]})
    stored(database, title="none", additional_info={"items": ["a"], "s": "x"})
    stored(database, title="lists", additional_info={"items": [[1.0], []]})

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


def test_escaped_keys_are_found_by_their_original_name(database: Database, reader: EventReader) -> None:
    stored(database, title="empty", raw_data={"": "v", "a": {"": 1.0}})
    for key, value in (("raw_data.", "v"), ("raw_data.a.", 1)):
        assert len(listed(reader, filter=[{"k": key, "o": "eq", "v": value}])) == 1
    assert len(listed(reader, filter=[{"k": "raw_data.a", "o": "eq", "v": {"": 1}}])) == 1


@pytest.mark.parametrize(
    ("predicate", "titles"),
    [
        ({"o": "eq", "v": "pod-7"}, "label mixed nested"),
        ({"o": "not", "v": "pod-7"}, "none other"),
        ({"o": "in", "v": ["pod-7", "x"]}, "label mixed nested"),
        ({"o": "not_in", "v": ["pod-7", "x"]}, "none other"),
        ({"o": "in", "v": ["pod-7", None]}, "label mixed nested none"),
        ({"o": "not_in", "v": ["pod-7", None]}, "other"),
        ({"o": "contain", "v": "POD"}, "label mixed nested other"),
        ({"o": "not_contain", "v": "7"}, "none other"),
        ({"o": "regex", "v": "^pod-7$"}, "label mixed nested"),
        ({"o": "exists", "v": True}, "label mixed nested other"),
        ({"o": "exists", "v": False}, "none"),
        ({"o": "eq", "v": None}, "none"),
        ({"o": "not", "v": None}, "label mixed nested other"),
        ({"o": "gt", "v": "pod-7"}, "other"),
        ({"o": "gte", "v": None}, "none"),
    ],
    ids=lambda value: f"{value['o']}-{value['v']}" if isinstance(value, dict) else "",
)
def test_label_with_dots_is_found_nested_and_literally(
    database: Database, reader: EventReader, database_kind: str, predicate: dict[str, Any], titles: str
) -> None:
    if database_kind == "mongomock" and predicate["o"] in {"gte", "not_contain"}:
        pytest.skip("mongomock: $gte null passes over missing fields")
    stored(database, title="label", additional_info={"k8s.pod.name": "pod-7"})
    stored(database, title="mixed", additional_info={"k8s": {"pod.name": "pod-7"}})
    stored(database, title="nested", additional_info={"k8s": {"pod": {"name": "pod-7"}}})
    stored(database, title="other", additional_info={"k8s.pod.name": "pod-8"})
    stored(database, title="none", additional_info={"k8s.pod": "pod-7", "name": "pod-7"})
    rows = listed(reader, filter=[{"k": "additional_info.k8s.pod.name", **predicate}])
    assert sorted(row["title"] for row in rows) == sorted(titles.split())


def test_labels_with_dots_sort_group_select_and_are_distinct(
    database: Database, reader: EventReader, database_kind: str
) -> None:
    for name in ("b", "c", "a"):
        stored(database, title=name, additional_info={"k8s.pod.name": name}, raw_data={"labels": {"app.io/x": name}})
    name = "additional_info.k8s.pod.name"
    for key in (name, "raw_data.labels.app.io/x"):
        rows = listed(reader, sort=[{"key": key, "desc": True}])
        assert [row["title"] for row in rows] == ["c", "b", "a"]
    assert listed(reader, only=[name], sort=[{"key": "title"}])[0] == {"additional_info": {"k8s.pod.name": "a"}}
    found = reader.stat(DOMAIN, parse_stat_query({"distinct": name}, EVENT_FIELDS))
    assert found == {"results": ["a", "b", "c"]}
    if database_kind != "mongomock":  # which has no $type of a missing field
        group = {"keys": [{"k": name, "n": "pod"}], "fields": [{"n": "count", "o": "count"}]}
        counts = statistic(reader, {"group": group}, {"sort": [{"key": "pod"}]})
        assert counts == [{"pod": pod, "count": 1.0} for pod in ("a", "b", "c")]


def test_case_folding_of_all_scripts_and_ascii_character_sets(
    database: Database, reader: EventReader, database_kind: str
) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock: matches by Python, whose sets know all letters")
    for title in ("Straße", "МОСКВА", "서버", "web 1", "٣"):
        stored(database, title=title)

    def found(pattern: str) -> set[str]:
        return {row["title"] for row in listed(reader, filter=[{"k": "title", "o": "regex", "v": pattern}])}

    assert found("москва") == {"МОСКВА"}
    assert found("STRAß") == {"Straße"}
    assert found("\\w") == {"Straße", "web 1"}
    assert found("^\\W+$") == {"МОСКВА", "서버", "٣"}
    assert found("\\d") == {"web 1"}
    assert found("\\s") == {"web 1"}
    assert found("b\\b") == {"web 1"}


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


def test_random_queries_are_answered_or_refused_as_invalid(
    reader: EventReader, database_kind: str, some_events: None
) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock: raises errors of its own")

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(LIST_QUERIES, STAT_QUERIES)
    def ask(list_query: Any, stat_query: Any) -> None:
        with contextlib.suppress(InvalidArgument):
            for row in reader.list(DOMAIN, parse_list_query(list_query, {}, EVENT_FIELDS)).rows:
                as_json(row)
        with contextlib.suppress(InvalidArgument):
            encode_struct(reader.stat(DOMAIN, parse_stat_query(stat_query, EVENT_FIELDS)))

    ask()
