"""Typed queries to MongoDB's words: the only way from what a caller wrote to an operator or a key.

Every value goes behind `$eq`, `$in` or `$literal`, every key is a field of the allow-list or was checked by `query/`,
and every filter begins with the caller's scope. The same output is right on MongoDB 6 to 8, on the embedded database
and on mongomock; where they read something differently, `Dialect` says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from event_service.model.scope import Scope
from event_service.query.fields import FieldKind, FieldPath, FieldSet, Origin, SortKey
from event_service.query.filter import (
    Compare,
    Comparison,
    Condition,
    Contains,
    Exists,
    HasMember,
    Matches,
    MemberTest,
    OneOf,
    Where,
)
from event_service.query.regex_rule import uses_character_sets
from event_service.query.values import Value
from event_service.store.documents import escape_key, escape_keys
from event_service.store.python_patterns import bounded

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


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the servers.

    Attributes:
        embedded: SecantusDB, which neither pushes limits down nor follows a path through a list of objects in
            `distinct`.
        positions: a number in a field path of an expression (`$resources.0`) is a position in a list. MongoDB takes it
            for a key there, though for a position in filters and sorts.
        unicode_sets: what makes \\d, \\w, \\s and \\b know letters beyond ASCII, set before a pattern; PCRE has to be
            told, Python is so anyway.
        unlimited_patterns: patterns are matched by Python, which has no limit of steps as PCRE has.
    """

    embedded: bool = False
    positions: bool = False
    unicode_sets: str = "(*UCP)"
    unlimited_patterns: bool = False


MONGODB = Dialect()
SECANTUS = Dialect(embedded=True, positions=True, unicode_sets="", unlimited_patterns=True)


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


def compile_filter(scope: Scope, where: Where, dialect: Dialect = MONGODB) -> dict[str, Any]:
    """The filter of a find, a count or a $match: the scope, and what was asked within it."""
    clauses = [compile_condition(condition, dialect) for condition in where.every]
    if where.some:
        clauses.append(_any_of([compile_condition(condition, dialect) for condition in where.some]))
    return both(compile_scope(scope), *clauses)


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


def compile_match(matching: Mapping[str, Any], dialect: Dialect = MONGODB) -> list[dict[str, Any]]:
    """The $match stages of a filter.

    The embedded database reads no index for a filter with $or, $and or $nor in it, so these get a stage of their own.
    """
    logical = {key: value for key, value in matching.items() if key.startswith("$")}
    if not dialect.embedded or not logical:
        return [{"$match": dict(matching)}]
    return [{"$match": {key: value for key, value in matching.items() if key not in logical}}, {"$match": logical}]


def compile_condition(condition: Condition, dialect: Dialect = MONGODB) -> dict[str, Any]:
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
            return _any_of([{name: _expression(pattern, dialect)} for pattern in condition.patterns])
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


def value_of(path: FieldPath, dialect: Dialect = MONGODB) -> Any:
    """The expression for what a row holds at a path."""
    name = stored_name(path)
    parts = name.split(".")
    if dialect.positions or not any(_is_position(part) for part in parts[1:]):
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
    clause = {name: {COMPARISONS[condition.comparison]: stored_value(condition.value)}}
    ordered = condition.comparison not in {Comparison.EQUAL, Comparison.NOT_EQUAL}
    if ordered and condition.path.kind is FieldKind.TEXTS:
        # The embedded database loses matches when it turns two bounds on an indexed array into one range.
        return {"$nor": [{"$nor": [clause]}]}
    return clause


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


def _expression(pattern: str, dialect: Dialect) -> dict[str, Any]:
    prefix = dialect.unicode_sets if uses_character_sets(pattern) else ""
    return {"$regex": prefix + (bounded(pattern) if dialect.unlimited_patterns else pattern), "$options": "i"}


def _literally(text: str) -> str:
    """A regular expression for a text, in what PCRE and Python have in common."""
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
