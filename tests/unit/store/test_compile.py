"""Compiled filters and stages whose exact form matters."""

from typing import Any

import pytest

from event_service.model.scope import Scope
from event_service.query.fields import EVENT_FIELDS, WEBHOOK_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.store.compile import (
    both,
    compile_filter,
    compile_scope,
    compile_sort,
    value_of,
)
from event_service.store.compile_stat import compile_stages
from tests.unit.store.test_compile_operators import references

DOMAIN = Scope("d-1")


def filter_of(**query: Any) -> dict[str, Any]:
    compiled = compile_filter(DOMAIN, parse_list_query(query, {}, EVENT_FIELDS).where)
    assert compiled.pop("domain_id") == "d-1"
    return compiled


def one(key: str, operator: str, value: Any = None) -> dict[str, Any]:
    return filter_of(filter=[{"k": key, "o": operator, "v": value}])


def stages(*aggregate: Any) -> list[dict[str, Any]]:
    return compile_stages(parse_stat_query({"aggregate": list(aggregate)}, EVENT_FIELDS), EVENT_FIELDS)


@pytest.mark.parametrize(
    ("scope", "clauses"),
    [
        (Scope("d"), {"domain_id": "d"}),
        (Scope("d", "w"), {"domain_id": "d", "workspace_id": "w"}),
        (Scope("d", "w", ("p",)), {"domain_id": "d", "workspace_id": "w", "project_id": "p"}),
        (Scope("d", "w", ("p", "q")), {"domain_id": "d", "workspace_id": "w", "project_id": {"$in": ["p", "q"]}}),
        (Scope("d", "w", ()), {"domain_id": "d", "workspace_id": "w", "project_id": {"$in": []}}),
    ],
)
def test_scopes(scope: Scope, clauses: dict[str, Any]) -> None:
    assert compile_scope(scope) == clauses


def test_filter_on_a_scope_field_narrows_the_scope() -> None:
    where = parse_list_query({"filter": [{"k": "domain_id", "o": "eq", "v": "d-2"}]}, {}, EVENT_FIELDS).where
    assert compile_filter(DOMAIN, where) == {"domain_id": "d-1", "$and": [{"domain_id": {"$eq": "d-2"}}]}


def test_clauses_on_other_fields_stay_on_the_top_level() -> None:
    assert both({"a": 1}, {"b": 2}, {"a": 3}, {"c": 4}, {"$or": []}, {"$or": [1]}) == {
        "a": 1,
        "b": 2,
        "c": 4,
        "$or": [],
        "$and": [{"a": 3}, {"$or": [1]}],
    }


@pytest.mark.parametrize(
    ("operator", "value", "compiled"),
    [
        ("eq", "x", {"$eq": "x"}),
        ("eq", None, {"$eq": None}),
        ("not", {"a": 1}, {"$ne": {"a": 1.0}}),
        ("lte", 5, {"$lte": 5.0}),
        ("exists", False, {"$exists": False}),
        ("in", [1, None], {"$in": [1.0, None]}),
        ("not_in", [], {"$nin": []}),
        ("contain", "a.b\0", {"$regex": "a\\.b\\x00", "$options": "i"}),
        ("not_contain", "x", {"$not": {"$regex": "x", "$options": "i"}}),
        ("regex", "^a", {"$regex": "^a", "$options": "i"}),
        ("match", {"n": {"$gt": 1, "$lt": 2}}, {"$elemMatch": {"n": {"$gt": 1.0}, "$and": [{"n": {"$lt": 2.0}}]}}),
        ("match", {}, {"$elemMatch": {"$type": "object"}}),
    ],
)
def test_operators(operator: str, value: Any, compiled: dict[str, Any]) -> None:
    assert one("raw_data.n", operator, value) == {"raw_data.n": compiled}


def test_lists_of_patterns() -> None:
    assert one("title", "contain_in", []) == one("title", "regex_in", []) == {"_id": {"$in": []}}
    assert one("title", "not_contain_in", []) == {}
    nor = [{"title": {"$regex": "a", "$options": "i"}}, {"title": {"$regex": "b", "$options": "i"}}]
    assert one("title", "not_contain_in", ["a", "b"]) == {"$nor": nor}


def test_keys_are_stored_escaped() -> None:
    assert one("raw_data.", "eq", "x") == {"raw_data.␛": {"$eq": "x"}}
    assert one("raw_data.a", "eq", {"": 1}) == {"raw_data.a": {"$eq": {"␛": 1.0}}}


def test_sorts_are_total() -> None:
    assert compile_sort(None, EVENT_FIELDS) == [("created_at", -1), ("_id", -1)]
    assert compile_sort(None, WEBHOOK_FIELDS) == [("name", 1), ("_id", 1)]
    assert compile_sort((), EVENT_FIELDS) == [("_id", 1)]
    sort = parse_list_query({"sort": [{"key": "-severity"}, {"key": "id", "desc": True}]}, {}, EVENT_FIELDS).sort
    assert compile_sort(sort, EVENT_FIELDS) == [("severity", -1), ("_id", -1)]


def test_positions_in_expressions() -> None:
    def element(value: Any, number: int) -> Any:
        choice = [{"$isArray": ["$$value"]}, {"$arrayElemAt": ["$$value", number]}, f"$$value.{number}"]
        return {"$let": {"vars": {"value": value}, "in": {"$cond": choice}}}

    def path(name: str) -> Any:
        return EVENT_FIELDS.find(name, "k")

    assert value_of(path("raw_data.a")) == "$raw_data.a"
    missing = {"$eq": [{"$type": "$raw_data.a.b"}, "missing"]}
    assert value_of(path("raw_data.a.b")) == {"$cond": [missing, "$raw_data.␛a␛1b", "$raw_data.a.b"]}
    assert value_of(path("resources.0")) == element("$resources", 0)
    assert value_of(path("raw_data.a.2.b.c")) == {
        "$let": {"vars": {"value": element("$raw_data.a", 2)}, "in": "$$value.b.c"}
    }
    assert value_of(path("raw_data.1.2")) == element(element("$raw_data", 1), 2)
    assert value_of(path("raw_data.99999999999999")) == "$raw_data.99999999999999"


def test_order_dependent_stages_sort_by_id() -> None:
    first = {"group": {"fields": [{"k": "title", "n": "t", "o": "first"}]}}
    count = {"group": {"fields": [{"n": "c", "o": "count"}]}}
    assert next(iter(stages(first)[0])) == "$sort"
    assert next(iter(stages(count)[0])) == "$group"
    assert stages({"limit": 3})[0] == {"$sort": {"_id": 1}}
    assert stages({"sort": [{"key": "severity"}]}, {"limit": 3})[:2] == [
        {"$sort": {"severity": 1, "_id": 1}},
        {"$limit": 3},
    ]


def test_month_names_are_literals() -> None:
    key = {"k": "created_at", "n": "d", "date_format": "%Y %b%%"}
    (group,) = stages({"group": {"keys": [key]}})
    pieces = group["$group"]["_id"]["k0"]["$concat"]
    assert [next(iter(piece)) for piece in pieces] == ["$dateToString", "$arrayElemAt", "$dateToString"]
    assert pieces[0]["$dateToString"]["format"] == {"$literal": "%Y "}
    assert pieces[2]["$dateToString"]["format"] == {"$literal": "%%"}
    assert pieces[1]["$arrayElemAt"][0]["$literal"][:2] == ["Jan", "Feb"]


@pytest.mark.parametrize("text", ["$access_key", "$$ROOT", "$wire %Y"])
def test_date_format_is_a_literal(text: str) -> None:
    """MongoDB evaluates formats: one that names a field would show an upstream webhook's access key."""
    for date_format in (text, f"{text} %b", f"%b{text}"):
        (group,) = stages({"group": {"keys": [{"k": "created_at", "n": "d", "date_format": date_format}]}})
        assert set(references(group)) == {"$created_at"}


def test_document_rows_are_projected_on_the_fields() -> None:
    for aggregate in ([{"skip": 1}], [{"unwind": {"path": "resources"}}], [{"sort": [{"key": "nofield"}]}]):
        *_, last = stages(*aggregate)
        assert last == {"$project": dict.fromkeys([*EVENT_FIELDS.kinds, "_id", "alert"], 1)}
