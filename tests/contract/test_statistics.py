"""Replies to stat."""

from typing import Any

import pytest

from event_service.errors import QueryError, TooLarge
from event_service.model.event import Severity
from event_service.query.fields import EVENT_FIELDS
from event_service.query.stat_query import parse_stat_query
from event_service.store.client import Database
from event_service.store.event_reader import EventReader
from event_service.store.reply_limit import ReplyLimit
from tests.contract.reading import DOMAIN, NOON, reader, statistic, stored

__all__ = ["reader"]

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


def test_missing_key_is_null_alone_and_absent_beside_others(
    database: Database, reader: EventReader, database_kind: str
) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock: keeps missing and null apart always")
    for info in ({"k": "x"}, {"k": None}, {}):
        stored(database, additional_info=info)
    key, count = {"k": "additional_info.k", "n": "k"}, {"n": "c", "o": "count"}
    rows = statistic(reader, {"group": {"keys": [key], "fields": [count]}})
    assert sorted(rows, key=str) == sorted([{"k": "x", "c": 1}, {"k": None, "c": 2}], key=str)
    rows = statistic(reader, {"group": {"keys": [key, {"k": "severity", "n": "s"}], "fields": [count]}})
    none = {"s": "NONE", "c": 1}
    assert sorted(rows, key=str) == sorted([{"k": "x", **none}, {"k": None, **none}, none], key=str)


def test_extremes_over_a_path_through_a_list_are_lists(
    database: Database, reader: EventReader, database_kind: str
) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock: does not follow a path through a list")
    for values in ([1.0, 9.0], [5.0]):
        stored(database, additional_info={"items": [{"v": value} for value in values]})
    fields = [{"k": "additional_info.items.v", "n": operator, "o": operator} for operator in ("max", "min")]
    assert statistic(reader, {"group": {"fields": fields}}) == [{"max": [5], "min": [1, 9]}]


def test_adjacent_groups_are_not_merged(database: Database, reader: EventReader) -> None:
    """MongoDB 6.0.5 returns 1 for the last two if the groups are adjacent."""
    for severity in Severity:
        for _ in range(2):
            stored(database, severity=severity)
    rows = len(Severity)
    again = {"group": {"keys": [{"k": "s", "n": "s"}], "fields": [{"k": "c", "n": "c", "o": "sum"}]}}
    assert statistic(reader, BY_SEVERITY, again, {"sort": [{"key": "s"}]}) == [
        {"s": severity.value, "c": 2} for severity in sorted(Severity, key=lambda severity: severity.value)
    ]
    assert statistic(reader, BY_SEVERITY, again, {"count": {"name": "n"}}) == [{"n": rows}]
    paged = parse_stat_query({"aggregate": [BY_SEVERITY, again], "page": {"limit": 1}}, EVENT_FIELDS)
    assert reader.stat(DOMAIN, paged)["total_count"] == rows


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
        ("$title %Y", "$title 2026"),
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


def test_count_of_no_rows_is_zero(database: Database, reader: EventReader) -> None:
    assert statistic(reader, {"count": {"name": "n"}}) == [{"n": 0}]
    stored(database)
    assert statistic(reader, {"count": {"name": "n"}}) == [{"n": 1}]


def test_document_rows_show_only_the_fields_of_the_resource(
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


def test_unsuitable_data_is_an_invalid_query(database: Database, reader: EventReader, database_kind: str) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock: raises errors of its own")
    stored(database, raw_data={"x": "text"})
    for name, stages in (
        ("size", [BY_SEVERITY, {"project": {"fields": [{"k": "c", "n": "n", "o": "size"}]}}]),
        ("array_to_object", [BY_SEVERITY, {"project": {"fields": [{"k": "c", "n": "n", "o": "array_to_object"}]}}]),
        ("merge_objects", [{"group": {"fields": [{"k": "title", "n": "x", "o": "merge_objects"}]}}]),
        ("date_format", [{"group": {"keys": [{"k": "raw_data.x", "n": "x", "date_format": "year"}]}}]),
    ):
        at = f"query.aggregate[{len(stages) - 1}]"
        with pytest.raises(QueryError) as caught:
            statistic(reader, *stages)
        assert [violation.field for violation in caught.value.violations] == [at]
        assert caught.value.message == f"{at}: a value does not suit {name}"


def test_keys_turned_into_values_are_unescaped(database: Database, reader: EventReader, database_kind: str) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock: no $substrCP")
    payload = {"$x": 1, "n\0l": 1, "": 1, "plain": 1, "␛": 1, "␛␛0": 1, "\0␛\0": 1, "a␛": 1}
    stored(database, raw_data={"of": payload}, title="␛$genuine")
    stored(database)
    project = {"project": {"fields": [{"k": "raw_data.of", "n": "x", "o": "object_to_array"}]}}
    shown = [row.get("x") for row in statistic(reader, project)]
    assert shown == [[{"k": key, "v": 1} for key in payload], None]
    group = {"group": {"keys": [{"k": "x.k", "n": "key"}], "fields": [{"o": "count", "n": "c"}]}}
    keys = [row["key"] for row in statistic(reader, project, {"unwind": {"path": "x"}}, group)]
    assert sorted(keys) == sorted(payload)


def test_reply_over_the_limit_is_refused(database: Database) -> None:
    for number in range(30):
        stored(database, title=f"{number} " + "x" * 1000)
    small = EventReader(database["event"], limit=ReplyLimit(size=10_000))
    by_title = {"group": {"keys": [{"k": "title", "n": "t"}], "fields": [{"n": "c", "o": "count"}]}}
    pushed = {"group": {"fields": [{"k": "title", "n": "t", "o": "push"}]}}
    for stages in ([by_title], [pushed], [{"sort": [{"key": "title"}]}]):
        with pytest.raises(TooLarge, match=r"^query(\.page: the rows exceed|: a row exceeds) 10000 bytes"):
            statistic(small, *stages)
    with pytest.raises(TooLarge, match=r"query\.distinct: the values exceed 10000 bytes: narrow the filter"):
        small.stat(DOMAIN, parse_stat_query({"distinct": "title"}, EVENT_FIELDS))
    assert len(statistic(small, by_title, page={"limit": 8, "start": 20})) == 8
    assert len(statistic(small, by_title, {"limit": 8})) == 8
    small.close()


def test_row_over_16_mib_is_refused(database: Database, reader: EventReader, database_kind: str) -> None:
    """MongoDB 6.0.5 closes the connection instead of answering."""
    if database_kind == "mongomock":
        pytest.skip("mongomock: no $bsonSize")
    for number in range(17):
        database["event"].insert_one({"domain_id": "d-1", "title": f"{number} " + "x" * 1_000_000})
    pushed = {"group": {"fields": [{"k": "title", "n": "t", "o": "push"}]}}
    copied = {"project": {"fields": [{"k": "title", "n": f"t{number}"} for number in range(17)]}}
    for stages in ([pushed], [copied], [{"limit": 15}, pushed]):
        with pytest.raises(TooLarge, match=r"^query"):
            statistic(reader, *stages)
