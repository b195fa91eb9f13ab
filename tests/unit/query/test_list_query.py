"""Lists: pages, orders, selections, keywords, unwind and added fields."""

from datetime import UTC, datetime
from typing import Any

import pytest

from event_service.errors import InvalidArgument, QueryError
from event_service.query.add_fields import MAX_ADDED_FIELDS, AddedField, Always, Choice, Combined, FieldValue, Literal
from event_service.query.fields import EVENT_FIELDS, WEBHOOK_FIELDS
from event_service.query.filter import MAX_FILTERS, Compare, Comparison, Contains, OneOf
from event_service.query.list_query import MAX_ONLY, ListQuery, PageRequest, parse_list_query

NOW = datetime(2026, 7, 15, tzinfo=UTC)


def parsed(equals: dict[str, str] | None = None, **query: Any) -> ListQuery:
    return parse_list_query(query, equals or {}, EVENT_FIELDS, NOW)


def faulty_field(**query: Any) -> str:
    with pytest.raises(QueryError) as caught:
        parsed(**query)
    return caught.value.violations[0].field


def names(query: ListQuery) -> list[str] | None:
    return None if query.only is None else [path.name for path in query.only]


def levels(query: ListQuery) -> list[tuple[str, bool]] | None:
    return None if query.sort is None else [(key.path.name, key.descending) for key in query.sort]


def test_empty_list_query() -> None:
    assert parse_list_query(None, {}, EVENT_FIELDS) == ListQuery()


def test_request_fields_are_equalities() -> None:
    query = parsed({"resource": "srv-1", "severity": "INFO", "title": ""})
    assert [(each.path.name, each.value) for each in query.where.every if isinstance(each, Compare)] == [
        ("resources", "srv-1"),
        ("severity", "INFO"),
    ]


@pytest.mark.parametrize(
    ("page", "start", "limit"),
    [
        (None, 1, None),
        ({}, 1, None),
        ({"start": 5}, 1, None),
        ({"limit": 0, "start": 3}, 1, None),
        ({"limit": 10}, 1, 10),
        ({"start": 0, "limit": 10}, 1, 10),
        ({"start": 4_000_000_000, "limit": 2**32 - 1}, 4_000_000_000, 2**32 - 1),
        ({"start": 2.0, "limit": 3.0}, 2, 3),
    ],
)
def test_pages(page: Any, start: int, limit: int | None) -> None:
    assert parsed(page=page).page == PageRequest(start, limit)


@pytest.mark.parametrize(
    "page", [5, "x", [], {"limit": -1}, {"limit": 2**32}, {"start": "1"}, {"limit": 1.5}, {"limit": True}]
)
def test_faulty_pages(page: Any) -> None:
    assert faulty_field(page=page).startswith("query.page")


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (None, None),
        ([], None),
        ([{"key": "severity"}], [("severity", False)]),
        ([{"key": "-severity"}], [("severity", True)]),
        ([{"key": "+severity", "desc": True}], [("severity", True)]),
        ([{"key": "id", "desc": True}], [("_id", True)]),
        ([{"key": "resource"}], [("resources", False)]),
        ([{"key": "severity"}, {"key": "severity", "desc": True}], [("severity", False)]),
        ([{"key": "nofield"}], []),
        ([{"key": "title.x"}, {"key": " created_at"}, {"key": "alert.state"}], []),
        ([{"key": "raw_data.빈 키"}, {"key": "nofield"}], [("raw_data.빈 키", False)]),
        ([{"key": "-"}], []),
    ],
)
def test_orders(sort: Any, expected: Any) -> None:
    assert levels(parsed(sort=sort)) == expected


@pytest.mark.parametrize(
    "sort",
    [
        [{}],
        [{"key": ""}],
        [{"key": 5}],
        [{"desc": True}],
        ["x"],
        "x",
        [{"key": "$x"}],
        [{"key": "raw_data.$x"}],
        [{"key": "a\0"}],
        [{"key": "title", "desc": "x"}],
    ],
)
def test_faulty_orders(sort: Any) -> None:
    assert faulty_field(sort=sort).startswith("query.sort")


def test_too_many_levels() -> None:
    assert faulty_field(sort=[{"key": f"raw_data.n{number}"} for number in range(40)]) == "query.sort"


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ([], None),
        (["event_id", "event_id"], ["event_id"]),
        (["raw_data", "raw_data.n"], ["raw_data"]),
        (["raw_data.n", "raw_data"], ["raw_data"]),
        (["raw_data.a.b", "raw_data.a"], ["raw_data.a"]),
        (["resource"], ["resources"]),
        (["raw_data.no such key"], ["raw_data.no such key"]),
    ],
)
def test_selections(only: Any, expected: Any) -> None:
    assert names(parsed(only=only)) == expected


@pytest.mark.parametrize(
    "name", ["nofield", "_id", "alert", "title.x", "raw_data.$x", "", 5, "resources.0", "wire", "a\0"]
)
def test_faulty_selections(name: Any) -> None:
    assert faulty_field(only=["title", name]) == "query.only[1]"


def test_minimal_ignores_only() -> None:
    for only in (["raw_data"], ["nope"], [1]):
        assert names(parsed(minimal=True, only=only)) == list(EVENT_FIELDS.minimal)


def test_access_key_of_webhook_cannot_be_selected() -> None:
    with pytest.raises(QueryError):
        parse_list_query({"only": ["access_key"]}, {}, WEBHOOK_FIELDS)
    with pytest.raises(QueryError):
        parse_list_query({"sort": [{"key": "-access_key"}]}, {}, WEBHOOK_FIELDS)
    with pytest.raises(QueryError):
        parse_list_query({"sort": [{"key": "webhook_url"}]}, {}, WEBHOOK_FIELDS)
    assert names(parse_list_query({"only": ["webhook_url"]}, {}, WEBHOOK_FIELDS)) == ["webhook_url"]


def test_keyword_is_ored_with_filter_or() -> None:
    query = parsed(keyword=" CPU  disk\t", filter_or=[{"k": "severity", "o": "eq", "v": "INFO"}])
    assert query.where.every == ()
    assert [type(each) for each in query.where.some] == [Compare, Contains, Contains]
    assert [(each.path.name, each.substrings) for each in query.where.some if isinstance(each, Contains)] == [
        ("event_id", ("CPU", "disk")),
        ("title", ("CPU", "disk")),
    ]


@pytest.mark.parametrize("keyword", [None, "", "   "])
def test_blank_keyword_ignored(keyword: Any) -> None:
    assert parsed(keyword=keyword).where.some == ()


@pytest.mark.parametrize("keyword", [5, ["cpu"], {"a": 1}, "\ud800"])
def test_faulty_keywords(keyword: Any) -> None:
    assert faulty_field(keyword=keyword) == "query.keyword"


def test_fault_has_path() -> None:
    good = {"k": "title", "o": "eq", "v": "x"}
    assert faulty_field(filter=[good, good, {"k": "title", "o": "regex", "v": "["}]) == "query.filter[2].v"
    assert faulty_field(filter_or=[good, {"key": "nofield", "o": "eq", "v": 1}]) == "query.filter_or[1].key"
    assert faulty_field(filter=[{"k": "title", "operator": "bogus"}]) == "query.filter[0].operator"


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("severty", "; did you mean 'severity'?"),
        ("create_at", "; did you mean 'created_at'?"),
        ("colour", ""),
        ("title.a", ""),
    ],
)
def test_mistyped_field_suggests_similar_field(key: str, meant: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_list_query({"filter": [{"k": key, "v": "a", "o": "eq"}]}, {}, EVENT_FIELDS)
    assert caught.value.message.endswith(f"Event has no field {key!r}{meant}")


@pytest.mark.parametrize("lookup", [[{}], [{"from": "webhook"}], ["x"]])
def test_lookup_is_refused(lookup: Any) -> None:
    assert faulty_field(lookup=lookup) == "query.lookup"
    assert parsed(lookup=[]) == ListQuery()


def test_unwind() -> None:
    filters = [
        {"k": "resource", "o": "contain_in", "v": ["srv"]},
        {"key": "severity", "operator": "not", "value": "INFO"},
        {"k": "nofield", "o": "in", "v": ["x"]},
    ]
    unwind = parsed(unwind={"path": "resource", "filter": filters}, only=["resources"]).unwind
    assert unwind is not None
    assert unwind.path.name == "resources"
    assert [type(each) for each in unwind.conditions] == [Contains, Compare, OneOf]
    assert parsed(unwind={}).unwind is None


@pytest.mark.parametrize(
    "unwind",
    [
        {"path": ""},
        {"filter": []},
        {"path": "$resources"},
        {"path": "raw_data.$x"},
        {"path": 5},
        "resources",
        {"path": "resources", "filter": [{"k": "resources", "o": "regex", "v": "x"}]},
        {"path": "resources", "filter": [{"k": "resources", "o": "gt", "v": "x"}]},
        {"path": "resources", "filter": [{"k": "resources", "o": "eq", "v": ""}]},
        {"path": "resources", "filter": [{"k": "resources", "o": "eq", "v": 0}]},
        {"path": "resources", "filter": [{"k": "resources", "o": "eq"}]},
        {"path": "resources", "filter": [{"k": "", "o": "eq", "v": "x"}]},
        {"path": "resources", "filter": [{"k": "resources", "o": "in", "v": "x"}]},
        {"path": "resources", "filter": [{"k": "resources", "o": "contain", "v": ["x"]}]},
        {"path": "resources", "filter": [{"k": "resources", "o": "contain", "v": 5}]},
        {"path": "resources", "filter": [{"k": "resources", "o": "eq", "v": {"$gt": 1}}]},
        {"path": "resources", "filter": [{"k": "$x", "o": "eq", "v": "x"}]},
        {"path": "resources", "filter": [{"k": "created_at", "o": "contain", "v": "x"}]},
        {"path": "resources", "filter": ["x"]},
    ],
)
def test_faulty_unwinds(unwind: Any) -> None:
    assert faulty_field(unwind=unwind, only=["resources"]).startswith("query.unwind")


def test_unwind_and_add_fields_need_only() -> None:
    assert faulty_field(unwind={"path": "resources"}) == "query.only"
    assert faulty_field(unwind={"path": "resources"}, minimal=True) == "query.only"
    assert faulty_field(add_fields={"title": "t"}) == "query.only"
    assert parsed(add_fields={}) == ListQuery()


def added(expression: Any, name: str = "title") -> Any:
    (field,) = parsed(add_fields={name: expression}, only=["title"]).add_fields
    assert isinstance(field, AddedField)
    return field.value


def test_added_literals_and_fields() -> None:
    assert added("t") == Literal("t")
    assert added(None) == Literal(None)
    assert added(["a", "b"], "resources") == Literal(["a", "b"])
    assert added(5, "additional_info.n") == Literal(5.0)
    assert added("2025-01-01", "occurred_at") == Literal(datetime(2025, 1, 1, tzinfo=UTC))
    assert added("$severity") == FieldValue(EVENT_FIELDS.path("severity"))
    assert added("$raw_data.s").path.name == "raw_data.s"


def test_added_choices() -> None:
    choice = added(
        {
            "if": {"__and": [{"__gte": ["$raw_data.n", 5]}, {"__not": [{"__in": ["$severity", ["INFO"]]}]}]},
            "then": "$title",
            "else": {"if": True, "then": "a", "else": "b"},
        }
    )
    assert isinstance(choice, Choice)
    assert isinstance(choice.test, Combined)
    assert choice.test.every
    assert choice.otherwise == Choice(Always(passed=True), Literal("a"), Literal("b"))


@pytest.mark.parametrize(
    "expression",
    [
        {"a": 1},
        {"if": True, "then": "a"},
        {"if": True, "then": "a", "else": "b", "x": 1},
        {"if": "$severity", "then": "a", "else": "b"},
        {"if": {"__function": {"body": "1"}}, "then": "a", "else": "b"},
        {"if": {"$eq": ["$severity", "INFO"]}, "then": "a", "else": "b"},
        {"if": {"__eq": ["$severity"]}, "then": "a", "else": "b"},
        {"if": {"__eq": "x"}, "then": "a", "else": "b"},
        {"if": {"__eq": [{"$gt": 1}, 1]}, "then": "a", "else": "b"},
        {"if": {"__eq": ["$nofield", 1]}, "then": "a", "else": "b"},
        {"if": {"__in": ["$severity", "INFO"]}, "then": "a", "else": "b"},
        {"if": {"__in": ["$severity", ["$title"]]}, "then": "a", "else": "b"},
        {"if": {"__and": []}, "then": "a", "else": "b"},
        {"if": {"__not": [True, True]}, "then": "a", "else": "b"},
        {"if": {"__eq": [1, 1], "__ne": [1, 1]}, "then": "a", "else": "b"},
        {"if": {}, "then": "a", "else": "b"},
        "$nofield", "$$ROOT", "$", "$title.x", 5, True, ["a"], "$created_at", "$raw_data",
    ],
)  # fmt: skip
def test_faulty_expressions(expression: Any) -> None:
    assert faulty_field(add_fields={"title": expression}, only=["title"]).startswith("query.add_fields.title")


def test_expressions_nested_too_deeply() -> None:
    expression: Any = "x"
    for _ in range(50):
        expression = {"if": True, "then": expression, "else": "b"}
    assert faulty_field(add_fields={"title": expression}, only=["title"]).startswith("query.add_fields")
    test: Any = True
    for _ in range(50):
        test = {"__not": [test]}
    assert faulty_field(add_fields={"title": {"if": test, "then": "a", "else": "b"}}, only=["title"])


@pytest.mark.parametrize("name", ["nofield", "$title", "title.x", "", "_id", "wire"])
def test_only_fields_can_be_added(name: str) -> None:
    assert faulty_field(add_fields={name: "x"}, only=["title"]).startswith("query.add_fields")


def test_a_field_and_one_inside_of_it_cannot_both_be_added() -> None:
    assert faulty_field(add_fields={"raw_data.a": 1, "raw_data.a.b": 1}, only=["raw_data"]) == "query.add_fields"


@pytest.mark.parametrize("query", [5, "x", []])
def test_a_query_is_an_object(query: Any) -> None:
    with pytest.raises(InvalidArgument):
        parse_list_query(query, {}, EVENT_FIELDS)


def test_date_differences_count_from_now() -> None:
    (condition,) = parsed(filter=[{"k": "created_at", "o": "timediff_gt", "v": "now-1d"}]).where.every
    assert condition == Compare(EVENT_FIELDS.path("created_at"), Comparison.GREATER, datetime(2026, 7, 14, tzinfo=UTC))


def test_number_of_paths_is_bounded() -> None:
    paths = [f"raw_data.{number}" for number in range(MAX_ONLY + 1)]
    parsed = parse_list_query({"only": paths[1:]}, {}, EVENT_FIELDS)
    assert len(parsed.only or ()) == MAX_ONLY
    with pytest.raises(QueryError, match=rf"^query\.only\[{MAX_ONLY}\]: more than {MAX_ONLY} members; send fewer"):
        parse_list_query({"only": paths}, {}, EVENT_FIELDS)
    added = dict.fromkeys(paths[: MAX_ADDED_FIELDS + 1], "x")
    with pytest.raises(QueryError, match=rf"^query\.add_fields: more than {MAX_ADDED_FIELDS} fields"):
        parse_list_query({"only": ["raw_data"], "add_fields": added}, {}, EVENT_FIELDS)


@pytest.mark.parametrize("operator", ["contain_in", "not_contain_in", "regex_in"])
def test_number_of_patterns_is_bounded(operator: str) -> None:
    words = ["x"] * (MAX_FILTERS + 1)
    with pytest.raises(QueryError, match=rf"^query\.filter\[0\]\.v\[{MAX_FILTERS}\]: more than {MAX_FILTERS} members"):
        parse_list_query({"filter": [{"k": "title", "o": operator, "v": words}]}, {}, EVENT_FIELDS)
    with pytest.raises(QueryError, match=rf"^query\.keyword\[{MAX_FILTERS}\]: more than"):
        parse_list_query({"keyword": " ".join(words)}, {}, EVENT_FIELDS)
    unwind = {"path": "resources", "filter": [{"k": "resources", "o": "contain_in", "v": words}]}
    with pytest.raises(QueryError, match=rf"^query\.unwind\.filter\[0\]\.v\[{MAX_FILTERS}\]: more than"):
        parse_list_query({"only": ["resources"], "unwind": unwind}, {}, EVENT_FIELDS)
