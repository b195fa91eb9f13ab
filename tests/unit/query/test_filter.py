"""Filters: accepted values of each operator, and its errors."""

from datetime import UTC, datetime
from typing import Any

import pytest

from event_service.errors import QueryError
from event_service.query.fields import EVENT_FIELDS, WEBHOOK_FIELDS, FieldSet, Origin
from event_service.query.filter import (
    MAX_FILTERS,
    Compare,
    Comparison,
    Contains,
    Exists,
    HasMember,
    Matches,
    OneOf,
    parse_filter,
    parse_where,
)

NOW = datetime(2026, 7, 15, tzinfo=UTC)


def parsed(key: str, operator: str, value: Any = None, fields: FieldSet = EVENT_FIELDS) -> Any:
    return parse_filter({"k": key, "o": operator, "v": value}, fields, NOW, "query.filter[0]")


def refusal(key: Any, operator: Any, value: Any = None, fields: FieldSet = EVENT_FIELDS) -> QueryError:
    with pytest.raises(QueryError) as caught:
        parsed(key, operator, value, fields)
    return caught.value


def test_equality_takes_scalars_null_and_objects() -> None:
    for value in ("x", 1.5, True, None, {"a": {"b": 1.0}}):
        condition = parsed("raw_data.n", "eq", value)
        assert isinstance(condition, Compare)
        assert condition.value == value
    assert parsed("title", "not", "x").comparison is Comparison.NOT_EQUAL


def test_numbers_are_doubles() -> None:
    value = parsed("raw_data.n", "eq", 9007199254740993).value
    assert type(value) is float


def test_without_a_value_a_filter_is_about_null() -> None:
    condition = parse_filter({"k": "title", "o": "eq"}, EVENT_FIELDS, NOW, "f")
    assert isinstance(condition, Compare)
    assert condition.value is None


def test_long_and_short_names_mix() -> None:
    condition = parse_filter({"key": "title", "o": "eq", "value": "x"}, EVENT_FIELDS, NOW, "f")
    assert isinstance(condition, Compare)
    assert condition.value == "x"


@pytest.mark.parametrize("operator", ["eq", "not", "lt", "gte"])
def test_dates_on_date_fields(operator: str) -> None:
    assert parsed("created_at", operator, "2025-01-01 12:00").value == datetime(2025, 1, 1, 12, tzinfo=UTC)
    assert parsed("occurred_at", operator, None).value is None
    assert parsed("title", operator, "2025-01-01").value == "2025-01-01"


def test_dates_in_lists() -> None:
    condition = parsed("created_at", "in", ["2025-01-01", None])
    assert isinstance(condition, OneOf)
    assert condition.values == (datetime(2025, 1, 1, tzinfo=UTC), None)


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("datetime_gte", "2025", Comparison.GREATER_OR_EQUAL),
        ("datetime_lt", "2025-W01", Comparison.LESS),
        ("timediff_gt", "now-1d", Comparison.GREATER),
        ("timediff_lte", "now/m", Comparison.LESS_OR_EQUAL),
    ],
)
def test_date_operators_on_any_field(operator: str, value: str, expected: Comparison) -> None:
    for key in ("created_at", "title", "raw_data.n"):
        condition = parsed(key, operator, value)
        assert isinstance(condition, Compare)
        assert condition.comparison is expected
        assert isinstance(condition.value, datetime)


def test_substrings() -> None:
    assert parsed("title", "contain", "") == Contains(EVENT_FIELDS.path("title"), ("",), negated=False)
    assert parsed("title", "not_contain_in", []) == Contains(EVENT_FIELDS.path("title"), (), negated=True)
    assert parsed("resources", "contain_in", ["a", "b"]).substrings == ("a", "b")


def test_membership_existence_and_patterns() -> None:
    assert parsed("severity", "not_in", [1, "INFO"]) == OneOf(
        EVENT_FIELDS.path("severity"), (1.0, "INFO"), negated=True
    )
    assert parsed("title", "exists", False) == Exists(EVENT_FIELDS.path("title"), present=False)
    assert parsed("title", "regex", "^a") == Matches(EVENT_FIELDS.path("title"), ("^a",))
    assert parsed("title", "regex_in", []) == Matches(EVENT_FIELDS.path("title"), ())


def test_match_tests_members() -> None:
    condition = parsed("additional_info.items", "match", {"name": "a", "v": {"$gt": 1, "$nin": [3]}, "o": {"x": 1}})
    assert isinstance(condition, HasMember)
    assert [(test.key, test.comparison, test.values, test.negated) for test in condition.tests] == [
        (("name",), Comparison.EQUAL, ("a",), False),
        (("v",), Comparison.GREATER, (1.0,), False),
        (("v",), None, (3.0,), True),
        (("o",), Comparison.EQUAL, ({"x": 1.0},), False),
    ]
    assert parsed("additional_info.items", "match", {}).tests == ()


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("resource", "resources"),
        ("user_projects", "project_id"),
        ("resources.0", "resources.0"),
        ("resources.name", "resources.name"),
        ("raw_data.dot.key", "raw_data.dot.key"),
        ("additional_info.a b", "additional_info.a b"),
        ("raw_data.빈 키", "raw_data.빈 키"),
        ("raw_data.", "raw_data."),
        ("raw_data.__x", "raw_data.__x"),
    ],
)
def test_keys(key: str, name: str) -> None:
    path = parsed(key, "regex", "x").path
    assert path.name == name
    assert path.origin is Origin.ROW


@pytest.mark.parametrize("operator", ["eq", "regex", "exists", "match"])
@pytest.mark.parametrize(
    "key",
    [
        "nofield", "", None, 5, "Title", " title", "title ", "title.x", "created_at.year", "resource.name",
        "resource.0", "id", "_id", "pk", "alert", "alert.state", "_cls", "__raw__", "title__contains", "raw_data.n__gt",
        "wire", "raw_data.a.b__in", "$where", "raw_data.$x", "resources.$", "a\0b", "raw_data.\0", "raw_data.\ud800",
        ".", "x" * 2000,
        "raw_data" + ".a" * 100,
    ],
)  # fmt: skip
def test_refuses_keys_that_are_no_fields(key: Any, operator: str) -> None:
    value = {"regex": "x", "exists": True, "match": {}}.get(operator, "x")
    error = refusal(key, operator, value)
    assert error.reason == "ERROR_DB_QUERY"
    assert error.violations[0].field == "query.filter[0].k"


@pytest.mark.parametrize("key", ["access_key", "webhook_url"])
@pytest.mark.parametrize(("operator", "value"), [("eq", "k"), ("regex", "^a"), ("contain", "a"), ("exists", True)])
def test_keys_of_webhooks_cannot_be_probed(key: str, operator: str, value: Any) -> None:
    assert refusal(key, operator, value, WEBHOOK_FIELDS).code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("key", ["plugin_info.plugin_id", "tags.team", "requests.total", "capability", "name"])
def test_webhooks_have_fields_of_their_own(key: str) -> None:
    assert parsed(key, "eq", "x", WEBHOOK_FIELDS).path.name == key


REFUSED: list[tuple[str, Any, Any, str]] = [
    ("title", "bogus", 1, "ERROR_DB_QUERY"),
    ("title", "EQ", 1, "ERROR_DB_QUERY"),
    ("title", "", 1, "ERROR_DB_QUERY"),
    ("title", None, 1, "ERROR_DB_QUERY"),
    ("title", ["eq"], 1, "ERROR_DB_QUERY"),
    ("title", "$where", 1, "ERROR_DB_QUERY"),
    ("title", "eq", ["a"], "ERROR_OPERATOR_VALUE_TYPE"),
    ("title", "not", [], "ERROR_OPERATOR_VALUE_TYPE"),
    ("title", "exists", [True], "ERROR_OPERATOR_VALUE_TYPE"),
    ("title", "contain", ["a"], "ERROR_OPERATOR_VALUE_TYPE"),
    ("created_at", "datetime_gt", ["2025"], "ERROR_OPERATOR_VALUE_TYPE"),
    ("title", "in", "a", "ERROR_OPERATOR_LIST_VALUE_TYPE"),
    ("title", "not_in", None, "ERROR_OPERATOR_LIST_VALUE_TYPE"),
    ("title", "contain_in", {"a": 1}, "ERROR_OPERATOR_LIST_VALUE_TYPE"),
    ("title", "regex_in", "a", "ERROR_OPERATOR_LIST_VALUE_TYPE"),
    ("title", "exists", 1, "ERROR_OPERATOR_BOOLEAN_TYPE"),
    ("title", "exists", None, "ERROR_OPERATOR_BOOLEAN_TYPE"),
    ("title", "exists", "true", "ERROR_OPERATOR_BOOLEAN_TYPE"),
    ("additional_info.items", "match", "x", "ERROR_OPERATOR_DICT_VALUE_TYPE"),
    ("additional_info.items", "match", None, "ERROR_OPERATOR_DICT_VALUE_TYPE"),
    ("additional_info.items", "match", {"$where": "1"}, "ERROR_DB_QUERY"),
    ("additional_info.items", "match", {"$eq": "a"}, "ERROR_DB_QUERY"),
    ("additional_info.items", "match", {"name": {"$regex": "a"}}, "ERROR_DB_QUERY"),
    ("additional_info.items", "match", {"name": {"$gt": 1, "b": 2}}, "ERROR_DB_QUERY"),
    ("additional_info.items", "match", {"name": {"$in": "a"}}, "ERROR_DB_QUERY"),
    ("additional_info.items", "match", {"name": {"$gt": {"$gt": 1}}}, "ERROR_DB_QUERY"),
    ("additional_info.items", "match", {"a.$b": 1}, "ERROR_DB_QUERY"),
    ("created_at", "match", {}, "ERROR_DB_QUERY"),
    ("raw_data.n", "eq", {"$gt": 1}, "ERROR_DB_QUERY"),
    ("raw_data.n", "eq", {"a": [{"$gt": 1}]}, "ERROR_DB_QUERY"),
    ("raw_data.n", "in", [{"$gt": 1}], "ERROR_DB_QUERY"),
    ("raw_data.n", "eq", {"a\0": 1}, "ERROR_DB_QUERY"),
    ("raw_data.n", "eq", "\ud800", "ERROR_DB_QUERY"),
    ("raw_data.n", "eq", 10**400, "ERROR_DB_QUERY"),
    ("raw_data.n", "lt", {"a": 1}, "ERROR_DB_QUERY"),
    ("title", "contain", 1, "ERROR_DB_QUERY"),
    ("title", "contain", None, "ERROR_DB_QUERY"),
    ("title", "contain_in", ["a", 1], "ERROR_DB_QUERY"),
    ("title", "contain", "x" * 5000, "ERROR_DB_QUERY"),
    ("created_at", "contain", "2025", "ERROR_DB_QUERY"),
    ("created_at", "not_contain_in", ["2025"], "ERROR_DB_QUERY"),
    ("title", "regex", 1, "ERROR_DB_QUERY"),
    ("title", "regex", None, "ERROR_DB_QUERY"),
    ("title", "regex", {"a": 1}, "ERROR_DB_QUERY"),
    ("title", "regex", "(a+)+$", "ERROR_DB_QUERY"),
    ("title", "regex_in", ["a", "["], "ERROR_DB_QUERY"),
    ("created_at", "eq", "not a date", "ERROR_DB_QUERY"),
    ("created_at", "gte", 5, "ERROR_DB_QUERY"),
    ("created_at", "in", [True], "ERROR_DB_QUERY"),
    ("created_at", "lt", {"a": 1}, "ERROR_DB_QUERY"),
    ("created_at", "datetime_gte", "yesterday", "ERROR_DB_QUERY"),
    ("created_at", "datetime_gte", 5, "ERROR_DB_QUERY"),
    ("created_at", "timediff_gt", "now|1d", "ERROR_DB_QUERY"),
]


@pytest.mark.parametrize(("key", "operator", "value", "reason"), REFUSED)
def test_refuses_with_the_class_upstream_names(key: str, operator: Any, value: Any, reason: str) -> None:
    error = refusal(key, operator, value)
    assert error.reason == reason
    assert error.code == "INVALID_ARGUMENT"
    assert error.violations[0].field.startswith("query.filter[0].")


@pytest.mark.parametrize("item", [None, 5, "x", [], [1]])
def test_a_filter_is_an_object(item: Any) -> None:
    with pytest.raises(QueryError):
        parse_filter(item, EVENT_FIELDS, NOW, "query.filter[0]")


def test_number_of_filters_limited() -> None:
    item = {"k": "title", "v": "x", "o": "eq"}
    for name in ("filter", "filter_or"):
        where = parse_where({name: [item] * MAX_FILTERS}, {}, EVENT_FIELDS, NOW)
        assert len(where.every + where.some) == MAX_FILTERS
        with pytest.raises(QueryError, match=rf"^query\.{name}\[1000\]: more than 1000 members"):
            parse_where({name: [item] * (MAX_FILTERS + 1)}, {}, EVENT_FIELDS, NOW)


def test_all_invalid_filters_named() -> None:
    valid, unknown, no_list = {"k": "title", "v": "x"}, {"k": "nope", "v": "x"}, {"k": "title", "v": "x", "o": "in"}
    for each in (valid, unknown, no_list):
        each.setdefault("o", "eq")
    query = {"filter": [valid, unknown, no_list], "filter_or": [valid, unknown]}
    with pytest.raises(QueryError) as caught:
        parse_where(query, {}, EVENT_FIELDS, NOW)
    fields = ["query.filter[1].k", "query.filter[2].v", "query.filter_or[1].k"]
    assert [violation.field for violation in caught.value.violations] == fields
    assert all(field in caught.value.message for field in fields)
    assert caught.value.reason == "ERROR_DB_QUERY", "the first fault's"


def test_text_has_the_first_invalid_filters_and_their_number() -> None:
    with pytest.raises(QueryError, match=r"filter\[4\]\.k: [^;]*; and 95 more$") as caught:
        parse_where({"filter": [{"k": "nope", "v": "x", "o": "eq"}] * 100}, {}, EVENT_FIELDS, NOW)
    assert len(caught.value.violations) == 100
