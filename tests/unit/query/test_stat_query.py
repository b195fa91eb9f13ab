"""Statistics: stages, the names each may refer to, and refused queries."""

from datetime import UTC, datetime
from typing import Any

import pytest

from event_service.errors import QueryError, RequiredParameter
from event_service.query.fields import EVENT_FIELDS, WEBHOOK_FIELDS, FieldKind, Origin
from event_service.query.filter import Comparison
from event_service.query.stat_query import StatQuery, parse_stat_query
from event_service.query.stat_rows import MAX_COLUMNS
from event_service.query.stat_stages import Accumulator, Count, DatePart, Group, GroupPredicate, Project, Sort
from event_service.query.unwind import Unwind

COUNT = {"n": "c", "o": "count"}
BY_SEVERITY = {"group": {"keys": [{"k": "severity", "n": "s"}], "fields": [COUNT]}}


def parsed(*stages: Any, **query: Any) -> StatQuery:
    return parse_stat_query({"aggregate": list(stages), **query}, EVENT_FIELDS)


def stage(query: StatQuery, number: int = -1) -> Any:
    assert query.stages is not None
    return query.stages[number]


def faulty_field(*stages: Any) -> str:
    with pytest.raises(QueryError) as caught:
        parsed(*stages)
    assert caught.value.reason == "ERROR_DB_QUERY"
    return caught.value.violations[0].field


def group(fields: list[Any], keys: list[Any] | None = None) -> dict[str, Any]:
    return {"group": {"keys": keys or [], "fields": fields}}


@pytest.mark.parametrize(
    ("query", "key"),
    [(None, "query"), ({}, "aggregate"), ({"aggregate": []}, "aggregate"), ({"distinct": ""}, "aggregate")],
)
def test_needs_a_query_with_aggregate_or_distinct(query: Any, key: str) -> None:
    with pytest.raises(RequiredParameter) as caught:
        parse_stat_query(query, EVENT_FIELDS)
    assert caught.value.details == f"ERROR_REQUIRED_PARAMETER: Required parameter. (key = {key})"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("severity", "severity"),
        ("resource", "resources"),
        ("raw_data.a", "raw_data.a"),
        ("id", "_id"),
        ("alert", "alert"),
    ],
)
def test_distinct(name: str, found: str) -> None:
    query = parse_stat_query({"distinct": name}, EVENT_FIELDS)
    assert query.stages is None
    assert query.distinct is not None
    assert query.distinct.name == found


@pytest.mark.parametrize("name", ["nofield", "title.x", "$where", "wire"])
def test_distinct_of_an_unknown_field_has_no_values(name: str) -> None:
    query = parse_stat_query({"distinct": name}, EVENT_FIELDS)
    assert query.distinct is not None
    assert query.distinct.origin is Origin.NOWHERE


@pytest.mark.parametrize("name", ["raw_data.$x", "a\0", 5, ["severity"], {"a": 1}])
def test_faulty_distinct(name: Any) -> None:
    with pytest.raises(QueryError):
        parse_stat_query({"distinct": name}, EVENT_FIELDS)


def test_aggregate_wins_over_distinct() -> None:
    assert parsed(BY_SEVERITY, distinct="severity").distinct is None


def test_columns_use_slots() -> None:
    query = parsed(group([COUNT, {"n": "$", "o": "count"} | {"n": "a.b"}], [{"k": "severity", "n": "합계"}]))
    assert query.columns.keys == {"k0": "합계"}
    assert query.columns.fields == {"f0": "c", "f1": "a.b"}
    assert not query.columns.row_id


def test_later_stages_refer_to_names() -> None:
    keys = [{"k": "s", "n": "t"}, {"k": "c", "n": "d"}, {"k": "title", "n": "none"}, {"k": "s.x", "n": "x"}]
    second = stage(parsed(BY_SEVERITY, group([COUNT], keys)))
    assert isinstance(second, Group)
    assert [(key.path.parts, key.path.origin) for key in second.keys] == [
        (("k0",), Origin.GROUP_KEY),
        (("f0",), Origin.ROW),
        ((), Origin.NOWHERE),
        (("k0", "x"), Origin.GROUP_KEY),
    ]


def test_a_key_is_sorted_by_before_a_field_of_its_name() -> None:
    both = {"group": {"keys": [{"k": "severity", "n": "c"}], "fields": [COUNT]}}
    sort = stage(parsed(both, {"sort": [{"key": "c", "desc": True}, {"key": "nofield"}]}))
    assert isinstance(sort, Sort)
    assert [(path.origin, descending) for path, descending in sort.levels] == [(Origin.GROUP_KEY, True)]


def test_rows_after_project_and_count() -> None:
    project = {"project": {"fields": [{"k": "s", "n": "a.b"}, {"k": "c", "n": "n"}], "exclude_keys": True}}
    query = parsed(BY_SEVERITY, project, {"sort": [{"key": "a.b"}, {"key": "s"}]})
    sort = stage(query)
    assert [path.parts for path, _ in sort.levels] == [("a", "b")]
    assert query.columns.fields == {"a": "a", "n": "n"}
    assert query.columns.keys == {}
    counted = parsed(BY_SEVERITY, {"count": {"name": "n"}}, group([COUNT], [{"k": "n", "n": "m"}]))
    assert stage(counted, 1) == Count("f0")
    assert stage(counted).keys[0].path.parts == ("f0",)


def test_project_keeps_keys_by_default() -> None:
    query = parsed(BY_SEVERITY, {"project": {"fields": [{"k": "c", "n": "n", "o": "sum"}]}})
    assert isinstance(stage(query), Project)
    assert query.columns.keys == {"k0": "s"}
    ids = parsed({"project": {"fields": [{"k": "event_id", "n": "e"}]}})
    assert ids.columns.row_id


def test_unwind_refers_to_rows() -> None:
    pushed = group([{"k": "raw_data.n", "n": "l", "o": "push"}], [{"k": "severity", "n": "s"}])
    unwind = stage(parsed(pushed, {"unwind": {"path": "l", "filter": [{"k": "l", "o": "eq", "v": 5}]}}))
    assert isinstance(unwind, Unwind)
    assert unwind.path.parts == ("f0",)
    assert unwind.conditions[0].path.parts == ("f0",)


@pytest.mark.parametrize(
    ("date_format", "expected"),
    [
        ("", None),
        (None, None),
        ("year", DatePart.YEAR),
        ("day", DatePart.DAY),
        ("week", "week"),
        ("%Y-%m %b %%", "%Y-%m %b %%"),
    ],
)
def test_date_formats(date_format: Any, expected: Any) -> None:
    grouped = stage(parsed(group([], [{"k": "created_at", "n": "d", "date_format": date_format}])))
    assert grouped.keys[0].date == expected


@pytest.mark.parametrize("date_format", ["%", "%q", "%Y%", "%e", "%-d", "x" * 300, 5, ["%Y"], "%Y\0"])
def test_faulty_date_formats(date_format: Any) -> None:
    at = faulty_field(group([], [{"k": "created_at", "n": "d", "date_format": date_format}]))
    assert at == "query.aggregate[0].group.keys[0].date_format"


@pytest.mark.parametrize("key", ["title", "resources", "_id"])
def test_a_date_format_is_for_dates(key: str) -> None:
    assert faulty_field(group([], [{"k": key, "n": "d", "date_format": "year"}]))


def test_conditions() -> None:
    conditions = [{"k": "severity", "v": "$severity", "o": "eq"}, {"k": "created_at", "v": "2025-01-01", "o": "lt"}]
    grouped = stage(parsed(group([{**COUNT, "conditions": conditions}])))
    assert grouped.fields[0].conditions == (
        GroupPredicate(EVENT_FIELDS.path("severity"), Comparison.EQUAL, "$severity"),
        GroupPredicate(EVENT_FIELDS.path("created_at"), Comparison.LESS, datetime(2025, 1, 1, tzinfo=UTC)),
    )


@pytest.mark.parametrize(
    "condition",
    [
        {"v": "INFO", "o": "eq"},
        {"k": "", "v": "INFO", "o": "eq"},
        {"k": "$severity", "v": "INFO", "o": "eq"},
        {"k": "severity", "o": "eq"},
        {"k": "severity", "v": None, "o": "eq"},
        {"k": "severity", "v": "INFO"},
        {"k": "severity", "v": "INFO", "o": "contain"},
        {"k": "severity", "v": {"$gt": 1}, "o": "eq"},
        {"k": "created_at", "v": "x", "o": "eq"},
        "x",
    ],
)
def test_faulty_conditions(condition: Any) -> None:
    at = faulty_field(group([{**COUNT, "conditions": [condition]}]))
    assert at.startswith("query.aggregate[0].group.fields[0].conditions[0]")


def test_push_of_objects() -> None:
    pushed = stage(
        parsed(group([{"n": "x", "o": "push", "fields": [{"k": "event_id", "n": "i"}, {"k": "no", "n": "z"}]}]))
    )
    assert [(name, path.parts) for name, path in pushed.fields[0].members] == [("i", ("event_id",)), ("z", ())]


FAULTY_FIELDS: list[Any] = [
    {"o": "count"},
    {"n": "", "o": "count"},
    {"n": "$a", "o": "count"},
    {"n": "a\0", "o": "count"},
    {"n": "x" * 300, "o": "count"},
    {"n": 5, "o": "count"},
    {"n": "c"},
    {"n": "c", "o": ""},
    {"n": "c", "o": "bogus"},
    {"n": "c", "o": ["count"]},
    {"n": "c", "o": "$sum", "k": "raw_data.n"},
    {"n": "x", "o": "sum"},
    {"n": "x", "o": "sum", "k": ""},
    {"n": "x", "o": "max", "k": "$title"},
    {"n": "x", "o": "push"},
    {"n": "x", "o": "push", "fields": [{"k": "a"}]},
    {"n": "x", "o": "push", "fields": [{"n": "a"}]},
    {"n": "x", "o": "push", "fields": [{"k": "title", "n": "$a"}]},
    {"n": "x", "o": "push", "fields": [{"k": "title", "n": "a.b"}]},
    {"n": "x", "o": "push", "fields": "x"},
    {"n": "x", "o": "first", "k": "title", "conditions": [{"k": "severity", "v": "INFO", "o": "eq"}]},
    {"n": "x", "o": "push", "k": "title", "conditions": [{"k": "severity", "v": "INFO", "o": "eq"}]},
    "x",
]


@pytest.mark.parametrize("field", FAULTY_FIELDS)
def test_faulty_group_fields(field: Any) -> None:
    assert faulty_field(group([field])).startswith("query.aggregate[0].group.fields[0]")


@pytest.mark.parametrize(
    "key", [{"k": "severity"}, {"n": "s"}, {"k": "", "n": "s"}, {"k": "$x", "n": "s"}, {"k": "severity", "n": "$a"}, 5]
)
def test_faulty_group_keys(key: Any) -> None:
    assert faulty_field(group([COUNT], [key])).startswith("query.aggregate[0].group.keys[0]")


FAULTY_STAGES: list[Any] = [
    {},
    {"bogus": {}},
    {"match": {"filter": []}},
    {"lookup": {"from": "webhook"}},
    {"add_fields": {"a": "b"}},
    {"$out": "x"},
    {"limit": 1, "skip": 1},
    "count",
    5,
    {"group": {}},
    {"group": {"keys": [], "fields": []}},
    {"group": "x"},
    {"group": {"keys": "x"}},
    {"count": {}},
    {"count": {"name": ""}},
    {"count": {"name": "$c"}},
    {"count": {"name": "a.b"}},
    {"count": {"name": "_id"}},
    {"count": {"name": "a\0"}},
    {"count": "c"},
    {"sort": []},
    {"sort": [{}]},
    {"sort": [{"key": ""}]},
    {"sort": [{"key": "$s"}]},
    {"sort": [{"key": 1}]},
    {"sort": ["s"]},
    {"sort": [{"k": "s"}]},
    {"sort": [{"key": "severity", "desc": {"a": 1}}]},
    {"sort": {"key": "severity"}},
    {"limit": 0},
    {"limit": -1},
    {"limit": "3"},
    {"limit": True},
    {"limit": 1.5},
    {"limit": 2**31},
    {"limit": None},
    {"skip": -1},
    {"skip": 1e308},
    {"skip": float("nan")},
    {"unwind": {}},
    {"unwind": {"path": ""}},
    {"unwind": {"path": "$resources"}},
    {"unwind": {"path": "resources", "filter": [{"k": "resources", "o": "eq", "v": ""}]}},
    {"unwind": "resources"},
    {"project": {}},
    {"project": {"fields": []}},
    {"project": {"fields": [{"k": "c"}]}},
    {"project": {"fields": [{"n": "c"}]}},
    {"project": {"fields": [{"k": "title", "n": "n", "o": "add"}]}},
    {"project": {"fields": [{"k": "title", "n": "n", "o": ["sum"]}]}},
    {"project": {"fields": [{"k": "title", "n": "$n"}]}},
    {"project": {"fields": [{"k": "title", "n": "a.$n"}]}},
    {"project": {"fields": [{"k": "title", "n": "a..n"}]}},
    {"project": {"fields": [{"k": "title", "n": "_id"}]}},
    {"project": {"fields": [{"k": "title", "n": "_id.x"}]}},
    {"project": {"fields": [{"k": "title", "n": "a"}, {"k": "title", "n": "a.b"}]}},
    {"project": {"fields": [{"k": "$title", "n": "a"}]}},
    {"project": {"fields": [{"k": "title", "n": "a"}], "exclude_keys": "yes"}},
]


@pytest.mark.parametrize("faulty", FAULTY_STAGES)
def test_faulty_stages(faulty: Any) -> None:
    assert faulty_field({"limit": 5}, faulty).startswith("query.aggregate[1]")


def test_too_many_stages() -> None:
    assert faulty_field(*[{"skip": 0}] * 101) == "query.aggregate[100]"


@pytest.mark.parametrize(("desc", "descending"), [(True, True), (1, True), (0.0, False), (None, False), (False, False)])
def test_sort_directions(desc: Any, descending: bool) -> None:
    sort = stage(parsed({"sort": [{"key": "severity", "desc": desc}]}))
    assert sort.levels == ((EVENT_FIELDS.path("severity"), descending),)


def test_keys_of_webhooks_cannot_be_counted() -> None:
    for query in (
        {"distinct": "access_key"},
        {"distinct": "webhook_url"},
        {"aggregate": [group([COUNT], [{"k": "access_key", "n": "k"}])]},
        {"aggregate": [group([{"k": "webhook_url", "n": "k", "o": "max"}])]},
        {"aggregate": [{"sort": [{"key": "access_key"}]}]},
        {"aggregate": [{"unwind": {"path": "access_key"}}]},
        {"aggregate": [{"project": {"fields": [{"k": "access_key.x", "n": "x"}]}}]},
        {"aggregate": [group([{**COUNT, "conditions": [{"k": "access_key", "o": "gt", "v": "a"}]}])]},
    ):
        with pytest.raises(QueryError):
            parse_stat_query(query, WEBHOOK_FIELDS)


def test_internal_fields_unknown() -> None:
    for name in ("wire", "key_hashes", "sealed_key", "id"):
        grouped = stage(parsed(group([COUNT], [{"k": name, "n": "x"}])))
        assert grouped.keys[0].path.origin is Origin.NOWHERE
    reference = stage(parsed(group([COUNT], [{"k": "_id", "n": "x"}]))).keys[0].path
    assert reference.kind is FieldKind.REFERENCE


def test_every_accumulator_but_count_takes_a_key() -> None:
    for accumulator in Accumulator:
        grouped = stage(parsed(group([{"n": "x", "o": str(accumulator), "k": "raw_data.n"}])))
        assert (grouped.fields[0].path is None) is (accumulator is Accumulator.COUNT)


FEW = [{"k": "title", "n": f"n{number}", "o": "first"} for number in range(MAX_COLUMNS + 1)]


@pytest.mark.parametrize(
    ("stage", "at"),
    [
        ({"group": {"keys": FEW}}, "group.keys"),
        ({"group": {"fields": FEW}}, "group.fields"),
        ({"group": {"fields": [{"n": "x", "o": "push", "fields": FEW}]}}, "group.fields[0].fields"),
        ({"project": {"fields": [{"k": "title", "n": f"n{number}"} for number in range(101)]}}, "project.fields"),
    ],
)
def test_number_of_columns_is_bounded(stage: dict[str, Any], at: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_stat_query({"aggregate": [stage]}, EVENT_FIELDS)
    assert caught.value.violations[0].field == f"query.aggregate[0].{at}[{MAX_COLUMNS}]"
