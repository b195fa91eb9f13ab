"""`add_fields`: computed values of a row, beside or instead of the stored ones.

An expression is a literal, `"$field"`, or `{if, then, else}` where `if` is true, false or one of `__eq __ne __gt __gte
__lt __lte __in __and __or __not`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from event_service.errors import QueryError
from event_service.query.dates import lenient_date
from event_service.query.fields import FieldKind, FieldPath, FieldSet
from event_service.query.filter import Comparison
from event_service.query.values import Value, json_value, mapping

MAX_ADDED_FIELDS = 100

_MAX_DEPTH = 20  # of choices and tests inside one another


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant."""

    value: Value


@dataclass(frozen=True, slots=True)
class FieldValue:
    """The value of a field of the row."""

    path: FieldPath


@dataclass(frozen=True, slots=True)
class Choice:
    """One of two expressions, by a test."""

    test: "Test"
    then: "Expression"
    otherwise: "Expression"


Operand: TypeAlias = Literal | FieldValue
Expression: TypeAlias = Literal | FieldValue | Choice


@dataclass(frozen=True, slots=True)
class Always:
    """A constant test."""

    passed: bool


@dataclass(frozen=True, slots=True)
class Compared:
    """Two operands in the order of the database, of any type."""

    comparison: Comparison
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class AmongValues:
    """An operand equals one of the values."""

    operand: Operand
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Combined:
    """All of the tests (`every`), or at least one of them."""

    tests: tuple["Test", ...]
    every: bool


@dataclass(frozen=True, slots=True)
class Negated:
    test: "Test"


Test: TypeAlias = Always | Compared | AmongValues | Combined | Negated


@dataclass(frozen=True, slots=True)
class AddedField:
    """A field to add to the row, and its value."""

    path: FieldPath
    value: Expression


_COMPARISONS = {
    "__eq": Comparison.EQUAL,
    "__ne": Comparison.NOT_EQUAL,
    "__gt": Comparison.GREATER,
    "__gte": Comparison.GREATER_OR_EQUAL,
    "__lt": Comparison.LESS,
    "__lte": Comparison.LESS_OR_EQUAL,
}


def parse_add_fields(add_fields: object, fields: FieldSet, at: str) -> tuple[AddedField, ...]:
    """Return the added fields of a list.

    Raises:
        QueryError: an unknown field, an invalid expression, or one that the field cannot hold.
    """
    if add_fields is None:
        return ()
    added = []
    source = mapping(add_fields, at)
    if len(source) > MAX_ADDED_FIELDS:
        raise QueryError.at(at, f"more than {MAX_ADDED_FIELDS} fields")
    for name, expression in source.items():
        path = fields.resolve(name, f"{at}.{name}", select=True)
        added.append(AddedField(path, _expression(expression, path.kind, fields, f"{at}.{name}")))
    roots = [field.path.parts for field in added]
    for parts in roots:
        if any(other != parts and other[: len(parts)] == parts for other in roots):
            raise QueryError.at(at, f"{'.'.join(parts)!r} is added together with a field inside it")
    return tuple(added)


def _expression(source: object, kind: FieldKind, fields: FieldSet, at: str, depth: int = 0) -> Expression:
    if depth > _MAX_DEPTH:
        raise QueryError.at(at, f"nested deeper than {_MAX_DEPTH}")
    if isinstance(source, Mapping):
        if set(source) != {"if", "then", "else"}:
            raise QueryError.at(at, "an object must be {if, then, else}")
        return Choice(
            _test(source["if"], fields, f"{at}.if", depth + 1),
            _expression(source["then"], kind, fields, f"{at}.then", depth + 1),
            _expression(source["else"], kind, fields, f"{at}.else", depth + 1),
        )
    operand = _operand(source, fields, at)
    return _fitting(operand, kind, at)


def _fitting(operand: Operand, kind: FieldKind, at: str) -> Operand:
    """Return the operand if a field of this kind can hold it."""
    if isinstance(operand, FieldValue):
        if operand.path.kind in {kind, FieldKind.ANY} or kind is FieldKind.ANY:
            return operand
        raise QueryError.at(at, f"{operand.path.name!r} is {operand.path.kind}, not {kind}")
    value = operand.value
    if value is None or kind is FieldKind.ANY:
        return operand
    if kind is FieldKind.DATE:
        return Literal(lenient_date(value, at))
    if kind is FieldKind.NUMBER and isinstance(value, int | float) and not isinstance(value, bool):
        return operand
    if kind is FieldKind.TEXT and isinstance(value, str):
        return operand
    if kind is FieldKind.TEXTS and isinstance(value, list) and all(isinstance(member, str) for member in value):
        return operand
    raise QueryError.at(at, f"must be a value of kind {kind}")


def _test(source: object, fields: FieldSet, at: str, depth: int) -> Test:
    if depth > _MAX_DEPTH:
        raise QueryError.at(at, f"nested deeper than {_MAX_DEPTH}")
    if isinstance(source, bool):
        return Always(source)
    if not isinstance(source, Mapping) or len(source) != 1:
        raise QueryError.at(at, "must be true, false or one test such as {__eq: [a, b]}")
    name, arguments = next(iter(source.items()))
    inner = f"{at}.{name}"
    if name in _COMPARISONS:
        left, right = _two(arguments, inner)
        return Compared(_COMPARISONS[name], _operand(left, fields, inner), _operand(right, fields, inner))
    if name == "__in":
        left, values = _two(arguments, inner)
        if not isinstance(values, list):
            raise QueryError.at(inner, "the second argument must be a list")
        values_in = tuple(_plain(value, inner) for value in values)
        return AmongValues(_operand(left, fields, inner), values_in)
    if name in {"__and", "__or"}:
        if not isinstance(arguments, list) or not arguments:
            raise QueryError.at(inner, "takes a list of tests")
        tests = tuple(_test(member, fields, f"{inner}[{n}]", depth + 1) for n, member in enumerate(arguments))
        return Combined(tests, every=name == "__and")
    if name == "__not":
        if isinstance(arguments, list):
            if len(arguments) != 1:
                raise QueryError.at(inner, "takes one test")
            arguments = arguments[0]
        return Negated(_test(arguments, fields, inner, depth + 1))
    raise QueryError.at(at, f"{name!r} is not a test")


def _two(arguments: object, at: str) -> tuple[object, object]:
    if not isinstance(arguments, list) or len(arguments) != 2:
        raise QueryError.at(at, "takes a list of two")
    return arguments[0], arguments[1]


def _operand(source: object, fields: FieldSet, at: str) -> Operand:
    if isinstance(source, str) and source.startswith("$"):
        return FieldValue(fields.resolve(source[1:], at))
    return Literal(_plain(source, at))


def _plain(source: object, at: str) -> Value:
    if isinstance(source, Mapping):
        raise QueryError.at(at, "an object is not a literal")
    if isinstance(source, str) and source.startswith("$"):
        raise QueryError.at(at, "a field is not allowed here")
    return json_value(source, at)
