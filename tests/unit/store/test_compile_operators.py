"""No value of a caller becomes an operator, and no random query leaves its scope."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import bson
from hypothesis import given
from hypothesis import strategies as st

from event_service.errors import InvalidArgument
from event_service.model.scope import Scope
from event_service.query.fields import EVENT_FIELDS, WEBHOOK_FIELDS, FieldSet
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.store.compile import compile_filter, compile_projection, compile_sort
from event_service.store.compile_list import compile_list_rows
from event_service.store.compile_stat import compile_stages
from tests.unit.query.hostile import LIST_QUERIES, STAT_QUERIES

FIND_OPERATORS = {
    "$eq", "$ne", "$lt", "$lte", "$gt", "$gte", "$in", "$nin", "$exists", "$regex", "$options", "$not", "$elemMatch",
    "$type", "$and", "$or", "$nor",
}  # fmt: skip
STAGES = {"$match", "$unwind", "$addFields", "$sort", "$skip", "$limit", "$project", "$group"}
EXPRESSIONS = {
    "$literal", "$cond", "$eq", "$ne", "$lt", "$lte", "$gt", "$gte", "$in", "$and", "$or", "$not", "$sum", "$avg",
    "$max", "$min", "$first", "$last", "$push", "$addToSet", "$mergeObjects", "$size", "$arrayToObject",
    "$objectToArray", "$year", "$month", "$dayOfMonth", "$dateToString", "$concat", "$arrayElemAt", "$subtract", "$let",
    "$isArray", "$map", "$reduce", "$split", "$substrCP", "$strLenCP", "$type", "$ifNull",
    "$isNumber",
}  # fmt: skip
ROOTS = {*EVENT_FIELDS.kinds, *WEBHOOK_FIELDS.kinds, "_id", "alert", "_absent"}

SCOPE = Scope("d-1", "ws-1", ("p-1", "p-2"))


def operators(value: Any) -> Iterator[str]:
    """Return every key that begins with `$`, outside of $literal."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            if key.startswith("$"):
                yield key
            if key != "$literal":
                yield from operators(member)
    elif isinstance(value, list):
        for member in value:
            yield from operators(member)


def references(value: Any) -> Iterator[str]:
    """Return every string that an expression reads as a field or variable."""
    if isinstance(value, str) and value.startswith("$"):
        yield value
    elif isinstance(value, Mapping):
        for key, member in value.items():
            if key not in {"$literal", "$match"}:
                yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def check_filter(matching: Mapping[str, Any]) -> None:
    assert matching["domain_id"] == "d-1"
    assert matching["workspace_id"] == "ws-1"
    assert matching["project_id"] == {"$in": ["p-1", "p-2"]}
    assert set(operators(matching)) <= FIND_OPERATORS
    bson.encode(matching)


def check_stages(stages: list[dict[str, Any]]) -> None:
    for stage in stages:
        (name,) = stage
        assert name in STAGES
        allowed = FIND_OPERATORS if name == "$match" else EXPRESSIONS
        assert set(operators(stage[name])) <= allowed
        for reference in references(stage):
            assert not reference.startswith("$$") or reference.startswith("$$value")
    bson.encode({"stages": stages})


def check_roots(stages: list[dict[str, Any]]) -> None:
    """Check that expressions on documents read only fields of the allow-list."""
    for stage in stages:
        for reference in references(stage):
            assert reference.startswith("$$value") or reference[1:].split(".")[0] in ROOTS
        if stage.keys() & {"$group", "$project", "$addFields"}:
            return


@given(LIST_QUERIES, st.sampled_from([EVENT_FIELDS, WEBHOOK_FIELDS]))
def test_lists_hold_allowed_operators_within_the_scope(query: Any, fields: FieldSet) -> None:
    try:
        parsed = parse_list_query(query, {}, fields)
    except InvalidArgument:
        return
    check_filter(compile_filter(SCOPE, parsed.where))
    order = compile_sort(parsed.sort, fields)
    assert sum(name == "_id" for name, _ in order) == 1
    assert all(name.split(".")[0] in ROOTS for name, _ in order)
    if parsed.only is not None:
        assert all(name.split(".")[0] in ROOTS for name in compile_projection(parsed.only))
    stages = compile_list_rows(parsed, fields, 10)
    check_stages(stages)
    check_roots(stages)


@given(STAT_QUERIES, st.sampled_from([EVENT_FIELDS, WEBHOOK_FIELDS]))
def test_stats_hold_allowed_operators_within_the_scope(query: Any, fields: FieldSet) -> None:
    try:
        parsed = parse_stat_query(query, fields)
    except InvalidArgument:
        return
    check_filter(compile_filter(SCOPE, parsed.where))
    stages = compile_stages(parsed, fields)
    check_stages(stages)
    check_roots(stages)


def plain_values(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for member in value.values():
            yield from plain_values(member)
    elif isinstance(value, list):
        for member in value:
            yield from plain_values(member)
    else:
        yield value


@given(LIST_QUERIES)
def test_filters_hold_json_and_dates_only(query: Any) -> None:
    try:
        parsed = parse_list_query(query, {}, EVENT_FIELDS)
    except InvalidArgument:
        return
    for value in plain_values(compile_filter(SCOPE, parsed.where)):
        assert value is None or isinstance(value, str | float | bool | datetime)
