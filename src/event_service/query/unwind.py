"""`unwind`: one row per element of a list, optionally filtered."""

from collections.abc import Callable
from dataclasses import dataclass

from event_service.errors import QueryError
from event_service.query.fields import FieldKind, FieldPath
from event_service.query.filter import MAX_FILTERS, Compare, Comparison, Contains, OneOf, Predicate, field_value
from event_service.query.values import Value, alias, mapping, members, text

Find = Callable[[object, str], FieldPath]
"""Returns the path of a key in the rows at this point: (key, path of the key in the request) -> path."""

_OPERATORS = ("eq", "not", "in", "not_in", "contain", "not_contain", "contain_in", "not_contain_in")
_LISTS = frozenset({"in", "not_in", "contain_in", "not_contain_in"})


@dataclass(frozen=True, slots=True)
class Unwind:
    """The list to unwind.

    Attributes:
        conditions: predicates on the row with the element at `path`, joined by AND.
    """

    path: FieldPath
    conditions: tuple[Predicate, ...] = ()


def parse_unwind(unwind: object, find: Find, at: str) -> Unwind:
    """Parse `{path, filter}`. A filter needs a key, an operator and a value that is not empty, 0, false or null.

    Raises:
        QueryError: no path, or an invalid filter.
    """
    source = mapping(unwind, at)
    path = find(source.get("path"), f"{at}.path")
    filters = members(source.get("filter"), f"{at}.filter", MAX_FILTERS)
    return Unwind(path, tuple(_predicate(item, find, f"{at}.filter[{index}]") for index, item in enumerate(filters)))


def _predicate(item: object, find: Find, at: str) -> Predicate:
    source = mapping(item, at)
    key, key_name = alias(source, "key", "k")
    value, value_name = alias(source, "value", "v")
    operator, operator_name = alias(source, "operator", "o")
    if operator not in _OPERATORS:
        raise QueryError.at(f"{at}.{operator_name}", f"must be one of {', '.join(_OPERATORS)}")
    if not value:
        raise QueryError.at(f"{at}.{value_name}", "a value is required")
    if isinstance(value, list) != (operator in _LISTS):
        raise QueryError.at(
            f"{at}.{value_name}", f"{operator} {'takes' if operator in _LISTS else 'does not take'} a list"
        )
    path = find(key, f"{at}.{key_name}")
    return _typed(str(operator), path, value, f"{at}.{value_name}")


def _typed(operator: str, path: FieldPath, value: object, at: str) -> Predicate:
    if operator in {"eq", "not"}:
        return Compare(path, Comparison(operator), field_value(value, path, at))
    negated = operator.startswith("not_")
    values = value if isinstance(value, list) else [value]
    if operator in {"in", "not_in"}:
        expected: tuple[Value, ...] = tuple(field_value(member, path, at) for member in values)
        return OneOf(path, expected, negated)
    if path.kind is FieldKind.DATE:
        raise QueryError.at(at, f"{path.name} is a date")
    return Contains(path, tuple(text(member, at) for member in members(values, at, MAX_FILTERS)), negated)
