"""Typed queries to MongoDB's words: the only way from what a caller wrote to an operator or a key.

Every value goes behind `$eq`, `$in` or `$literal`, every key is a field of the allow-list or was checked by `query/`,
and every filter begins with the caller's scope.
"""

from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from typing import Any

from event_service.model.scope import Scope
from event_service.query.fields import FieldPath, FieldSet, Origin, SortKey
from event_service.query.filter import (
    Compare,
    Comparison,
    Contains,
    Exists,
    HasMember,
    Matches,
    MemberTest,
    OneOf,
    Predicate,
    Where,
)
from event_service.query.values import Value
from event_service.store.documents import escape_key, escape_keys

NOWHERE = "_absent"
"""A name no document has: what is asked of an unknown field is asked of this one."""

GROUP_KEYS = "_id"
"""Where a $group leaves its keys."""

COMPARISONS = {
    Comparison.EQUAL: "$eq",
    Comparison.NOT_EQUAL: "$ne",
    Comparison.LESS: "$lt",
    Comparison.LESS_OR_EQUAL: "$lte",
    Comparison.GREATER: "$gt",
    Comparison.GREATER_OR_EQUAL: "$gte",
}

_NOTHING: dict[str, Any] = {"_id": {"$in": []}}
_SPECIAL = frozenset("\\^$.|?*+()[]{}")


def compile_scope(scope: Scope) -> dict[str, Any]:
    """The clauses that keep a query within a scope."""
    clauses: dict[str, Any] = {"domain_id": scope.domain_id}
    if scope.workspace_id is not None:
        clauses["workspace_id"] = scope.workspace_id
    if scope.projects is not None:
        if len(scope.projects) == 1:
            clauses["project_id"] = scope.projects[0]
        else:
            clauses["project_id"] = {"$in": list(scope.projects)}
    return clauses


def compile_filter(scope: Scope, where: Where) -> dict[str, Any]:
    """The filter of a find, a count or a $match: the scope, and what was asked within it."""
    clauses = [compile_predicate(condition) for condition in where.every]
    if where.some:
        clauses.append(_any_of([compile_predicate(condition) for condition in where.some]))
    return both(compile_scope(scope), *clauses)


def compile_times(since: datetime | None, before: datetime | None) -> dict[str, Any]:
    """Return the filter for a created_at between two times, the second excluded; None for no bound."""
    bounds: dict[str, Any] = {}
    if since is not None:
        bounds["$gte"] = since
    if before is not None:
        bounds["$lt"] = before
    return {"created_at": bounds} if bounds else {}


def both(first: Mapping[str, Any], *others: Mapping[str, Any]) -> dict[str, Any]:
    """All of the filters at once. Clauses on fields of their own stay on the top level, where planners look first."""
    merged = dict(first)
    rest: list[Mapping[str, Any]] = []
    for other in others:
        if merged.keys().isdisjoint(other):
            merged.update(other)
        else:
            rest.append(other)
    if rest:
        merged["$and"] = [*merged.get("$and", ()), *rest]
    return merged


def compile_predicate(condition: Predicate) -> dict[str, Any]:
    """One condition as a filter."""
    name = stored_name(condition.path)
    match condition:
        case Compare():
            return _compare(condition, name)
        case Exists():
            return {name: {"$exists": condition.present}}
        case Contains():
            return _contains(condition, name)
        case OneOf():
            return {name: {"$nin" if condition.negated else "$in": stored_values(condition.values)}}
        case Matches():
            return _any_of([{name: {"$regex": pattern, "$options": "i"}} for pattern in condition.patterns])
        case HasMember():
            return {name: {"$elemMatch": _member_filter(condition.tests)}}


def compile_sort(sort: tuple[SortKey, ...] | None, fields: FieldSet) -> list[tuple[str, int]]:
    """The order of a list, total by `_id` at its end.

    Args:
        sort: as in ListQuery: None for the default order, in which `_id` follows the direction of the last key.
    """
    levels = [(stored_name(key.path), _direction(key)) for key in (fields.default_sort() if sort is None else sort)]
    if all(name != "_id" for name, _ in levels):
        levels.append(("_id", levels[-1][1] if sort is None else 1))
    return levels


def compile_projection(only: tuple[FieldPath, ...]) -> dict[str, Any]:
    """What a find or a $project has to bring for these fields, without `_id`."""
    return {**{stored_name(path): 1 for path in only}, "_id": 0}


def stored_name(path: FieldPath) -> str:
    """The dotted name of a field as it is stored: keys that MongoDB cannot hold are escaped."""
    if path.origin is Origin.NOWHERE:
        return NOWHERE
    name = ".".join([path.parts[0], *(escape_key(part) for part in path.parts[1:])])
    return f"{GROUP_KEYS}.{name}" if path.origin is Origin.GROUP_KEY else name


def value_of(path: FieldPath) -> Any:
    """The expression for what a row holds at a path.

    A number in it (`resources.0`) is a position in a list, as in filters and sorts; MongoDB's expressions take it for a
    key.
    """
    name = stored_name(path)
    parts = name.split(".")
    if not any(_is_position(part) for part in parts[1:]):
        return f"${name}"
    value: Any = f"${parts[0]}"
    for is_position, run in groupby(parts[1:], _is_position):
        inner = list(run)
        if not is_position:
            value = (
                f"{value}.{'.'.join(inner)}" if isinstance(value, str) else _let(value, f"$$value.{'.'.join(inner)}")
            )
            continue
        for part in inner:
            element = {"$arrayElemAt": ["$$value", int(part)]}
            value = _let(value, {"$cond": [{"$isArray": ["$$value"]}, element, f"$$value.{part}"]})
    return value


def stored_value(value: Value) -> Any:
    """A value as it is stored: keys of objects escaped as the payloads' are."""
    if isinstance(value, dict):
        return escape_keys(value)
    if isinstance(value, list):
        return stored_values(value)
    return value


def stored_values(values: tuple[Value, ...] | list[Value]) -> list[Any]:
    """The values as they are stored."""
    return [stored_value(value) for value in values]


def _is_position(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 10


def _let(value: Any, expression: Any) -> dict[str, Any]:
    return {"$let": {"vars": {"value": value}, "in": expression}}


def _direction(key: SortKey) -> int:
    return -1 if key.descending else 1


def _compare(condition: Compare, name: str) -> dict[str, Any]:
    return {name: {COMPARISONS[condition.comparison]: stored_value(condition.value)}}


def _contains(condition: Contains, name: str) -> dict[str, Any]:
    expressions = [{"$regex": _literally(substring), "$options": "i"} for substring in condition.substrings]
    if not condition.negated:
        return _any_of([{name: expression} for expression in expressions])
    if len(expressions) == 1:
        return {name: {"$not": expressions[0]}}
    return {"$nor": [{name: expression} for expression in expressions]} if expressions else {}


def _any_of(filters: list[dict[str, Any]]) -> dict[str, Any]:
    if len(filters) == 1:
        return filters[0]
    return {"$or": filters} if filters else dict(_NOTHING)


def _literally(text: str) -> str:
    """A regular expression for a text."""
    escaped = "".join(f"\\{character}" if character in _SPECIAL else character for character in text)
    return escaped.replace("\0", "\\x00")


def _member_filter(tests: tuple[MemberTest, ...]) -> dict[str, Any]:
    if not tests:  # MongoDB's own {} is also matched by lists, which are objects to it there
        return {"$type": "object"}
    clauses = [{_member_name(test.key): _member_test(test)} for test in tests]
    return both({}, *clauses)


def _member_name(key: tuple[str, ...]) -> str:
    return ".".join(escape_key(part) for part in key)


def _member_test(test: MemberTest) -> dict[str, Any]:
    if test.comparison is None:
        return {"$nin" if test.negated else "$in": stored_values(test.values)}
    return {COMPARISONS[test.comparison]: stored_value(test.values[0])}
