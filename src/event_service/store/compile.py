"""Compiles typed queries to MongoDB filters: the only place that turns a caller's query into operators and keys.

Every value goes behind `$eq`, `$in` or `$literal`, every key is on the allow-list or was checked by `query/`, and every
filter begins with the caller's scope.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any

from event_service.model.scope import Scope
from event_service.query.fields import FieldKind, FieldPath, FieldSet, Origin, SortKey
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
"""A field that no document has; predicates on unknown fields compile to it."""

GROUP_KEYS = "_id"
"""The field that holds the keys of a $group."""

COMPARISONS = {
    Comparison.EQUAL: "$eq",
    Comparison.NOT_EQUAL: "$ne",
    Comparison.LESS: "$lt",
    Comparison.LESS_OR_EQUAL: "$lte",
    Comparison.GREATER: "$gt",
    Comparison.GREATER_OR_EQUAL: "$gte",
}

_MOST_NAMES = 8
"""Keys with dots are looked for this deep."""

_NOTHING: dict[str, Any] = {"_id": {"$in": []}}
_SPECIAL = frozenset("\\^$.|?*+()[]{}")


def compile_scope(scope: Scope) -> dict[str, Any]:
    """Return the filter for a scope."""
    clauses: dict[str, Any] = {"domain_id": scope.domain_id}
    if scope.workspace_id is not None:
        clauses["workspace_id"] = scope.workspace_id
    if scope.projects is not None:
        if len(scope.projects) == 1:
            clauses["project_id"] = scope.projects[0]  # an equality uses the index's sort; $in needs a merge
        else:
            clauses["project_id"] = {"$in": list(scope.projects)}
    return clauses


def compile_filter(scope: Scope, where: Where) -> dict[str, Any]:
    """Return the filter of a find, a count or a $match: the scope and the predicates."""
    clauses = [compile_predicate(predicate) for predicate in where.every]
    if where.some:
        clauses.append(_any_of([compile_predicate(predicate) for predicate in where.some]))
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
    """Return the conjunction of filters. Clauses on distinct fields stay on the top level, where planners use them."""
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


def compile_predicate(predicate: Predicate) -> dict[str, Any]:
    """Return the filter for one predicate."""
    names = stored_names(predicate.path)
    if len(names) == 1:
        return _predicate_on(names[0], predicate)
    negative, match_null = _traits(predicate)
    if match_null and isinstance(predicate, OneOf) and len(predicate.values) > 1:
        # null means a value under none of the names, the others one under any of them.
        others = replace(predicate, values=tuple(value for value in predicate.values if value is not None))
        both_parts = [compile_predicate(replace(predicate, values=(None,))), compile_predicate(others)]
        return {"$and" if negative else "$or": both_parts}
    filters = [_predicate_on(name, predicate) for name in names]
    return {"$and": filters} if negative is not match_null else {"$or": filters}


def _traits(predicate: Predicate) -> tuple[bool, bool]:
    """Return whether a predicate is a negation, and whether it is about null, which a missing field matches too."""
    match predicate:
        case Compare():
            return predicate.comparison is Comparison.NOT_EQUAL, predicate.value is None
        case Exists():
            return not predicate.present, False
        case Contains():
            return predicate.negated, False
        case OneOf():
            return predicate.negated, None in predicate.values
        case _:
            return False, False


def _predicate_on(name: str, predicate: Predicate) -> dict[str, Any]:
    match predicate:
        case Compare():
            return {name: {COMPARISONS[predicate.comparison]: stored_value(predicate.value)}}
        case Exists():
            return {name: {"$exists": predicate.present}}
        case Contains():
            return _contains(predicate, name)
        case OneOf():
            return {name: {"$nin" if predicate.negated else "$in": stored_values(predicate.values)}}
        case Matches():
            return _any_of([{name: {"$regex": pattern, "$options": "i"}} for pattern in predicate.patterns])
        case HasMember():
            return {name: {"$elemMatch": _member_filter(predicate.tests)}}


def compile_sort(sort: tuple[SortKey, ...] | None, fields: FieldSet) -> list[tuple[str, int]]:
    """Return the sort of a list; a last level on `_id` makes it total.

    Args:
        sort: as in ListQuery; None for the default order, in which `_id` has the direction of the last key.
    """
    keys = fields.default_sort() if sort is None else sort
    levels = [(name, _direction(key)) for key in keys for name in stored_names(key.path)]
    if all(name != "_id" for name, _ in levels):
        levels.append(("_id", levels[-1][1] if sort is None else 1))
    return levels


def compile_projection(only: tuple[FieldPath, ...]) -> dict[str, Any]:
    """Return the projection on these fields, without `_id`."""
    return {**{name: 1 for path in only for name in stored_names(path)}, "_id": 0}


def stored_name(path: FieldPath) -> str:
    """Return the dotted path of a field in documents, with escaped keys."""
    if path.origin is Origin.NOWHERE:
        return NOWHERE
    name = ".".join([path.parts[0], *(escape_key(part) for part in path.parts[1:])])
    return f"{GROUP_KEYS}.{name}" if path.origin is Origin.GROUP_KEY else name


def stored_names(path: FieldPath) -> list[str]:
    """Return the dotted paths that a field may have in documents, the nested one first.

    A path below a dynamic field may end in a key with dots: `additional_info.k8s.pod.name` is also the label
    `k8s.pod.name`, or `pod.name` of the object `k8s`.
    """
    nested, parts = stored_name(path), path.parts
    if len(parts) < 3 or path.origin is not Origin.ROW or path.kind is not FieldKind.ANY:
        return [nested]
    root = [parts[0], *map(escape_key, parts[1:-2])]
    dotted = [
        ".".join([*root[:end], escape_key(".".join(parts[end:]))]) for end in range(1, min(len(parts) - 1, _MOST_NAMES))
    ]
    return [nested, *dotted]


def value_of(path: FieldPath) -> Any:
    """Return the aggregation expression for the value at a path: the first of its stored names that exists.

    A number in the path (`resources.0`) is an array index, as in filters and sorts; `$resources.0` reads a key.
    """
    first, *others = stored_names(path)
    parts = first.split(".")
    if not any(_is_position(part) for part in parts[1:]):
        return _first_existing(f"${first}", *(f"${name}" for name in others))
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


def _first_existing(name: str, *others: str) -> Any:
    return {"$cond": [{"$eq": [{"$type": name}, "missing"]}, _first_existing(*others), name]} if others else name


def stored_value(value: Value) -> Any:
    """Return a value as documents hold it, with escaped keys."""
    if isinstance(value, dict):
        return escape_keys(value)
    if isinstance(value, list):
        return stored_values(value)
    return value


def stored_values(values: tuple[Value, ...] | list[Value]) -> list[Any]:
    """Return values as documents hold them."""
    return [stored_value(value) for value in values]


def _is_position(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 10


def _let(value: Any, expression: Any) -> dict[str, Any]:
    return {"$let": {"vars": {"value": value}, "in": expression}}


def _direction(key: SortKey) -> int:
    return -1 if key.descending else 1


def _contains(predicate: Contains, name: str) -> dict[str, Any]:
    expressions = [{"$regex": _escape_regex(substring), "$options": "i"} for substring in predicate.substrings]
    if not predicate.negated:
        return _any_of([{name: expression} for expression in expressions])
    if len(expressions) == 1:
        return {name: {"$not": expressions[0]}}
    return {"$nor": [{name: expression} for expression in expressions]} if expressions else {}


def _any_of(filters: list[dict[str, Any]]) -> dict[str, Any]:
    if len(filters) == 1:
        return filters[0]
    return {"$or": filters} if filters else dict(_NOTHING)


def _escape_regex(text: str) -> str:
    escaped = "".join(f"\\{character}" if character in _SPECIAL else character for character in text)
    return escaped.replace("\0", "\\x00")  # BSON cannot hold NUL in a pattern


def _member_filter(tests: tuple[MemberTest, ...]) -> dict[str, Any]:
    if not tests:  # $elemMatch: {} would also match nested arrays
        return {"$type": "object"}
    clauses = [{_member_name(test.key): _member_test(test)} for test in tests]
    return both({}, *clauses)


def _member_name(key: tuple[str, ...]) -> str:
    return ".".join(escape_key(part) for part in key)


def _member_test(test: MemberTest) -> dict[str, Any]:
    if test.comparison is None:
        return {"$nin" if test.negated else "$in": stored_values(test.values)}
    return {COMPARISONS[test.comparison]: stored_value(test.values[0])}
