"""Parse the group stage: keys, fields, and the predicates of fields."""

from collections.abc import Mapping

from event_service.errors import QueryError
from event_service.query.fields import FieldKind, FieldPath
from event_service.query.filter import MAX_FILTERS, Comparison, compared_value
from event_service.query.stat_rows import MAX_COLUMNS, Columns, Rows, column_name
from event_service.query.stat_stages import Accumulator, DatePart, Group, GroupField, GroupKey, GroupPredicate
from event_service.query.values import alias, mapping, members

_DIRECTIVES = frozenset("YmdHMSLjwuUVGzZbB%")
"""Of $dateToString. MongoDB before 7 lacks `b` and `B`; the compiler expands them."""

_MAX_FORMAT = 256
_WITH_PREDICATES = frozenset({Accumulator.COUNT, Accumulator.SUM, Accumulator.AVERAGE})


def parse_group(group: object, rows: Rows, at: str) -> tuple[Group, Rows]:
    """Parse `{keys, fields}`, which needs at least one of either.

    Raises:
        QueryError: a key or field without a name, an unknown operator, an invalid date format.
    """
    source = mapping(group, at)
    keys = [
        _key(item, rows, f"k{index}", f"{at}.keys[{index}]")
        for index, item in enumerate(members(source.get("keys"), f"{at}.keys", MAX_COLUMNS))
    ]
    fields = [
        _field(item, rows, f"f{index}", f"{at}.fields[{index}]")
        for index, item in enumerate(members(source.get("fields"), f"{at}.fields", MAX_COLUMNS))
    ]
    if not keys and not fields:
        raise QueryError.at(at, "needs keys or fields")
    columns = Columns(
        keys={key.slot: name for key, name in keys},
        fields={field.slot: name for field, name in fields},
        row_id=False,
    )
    return Group(tuple(key for key, _ in keys), tuple(field for field, _ in fields)), Rows(rows.field_set, columns)


def _key(item: object, rows: Rows, slot: str, at: str) -> tuple[GroupKey, str]:
    source = mapping(item, at)
    key, key_name = alias(source, "key", "k")
    name, name_name = alias(source, "name", "n")
    path = rows.find(key, f"{at}.{key_name}")
    date = _date_format(source.get("date_format"), path, f"{at}.date_format")
    return GroupKey(slot, path, date), column_name(name, f"{at}.{name_name}")


def _date_format(date_format: object, path: FieldPath, at: str) -> DatePart | str | None:
    if not date_format:
        return None
    if not isinstance(date_format, str) or len(date_format) > _MAX_FORMAT or "\0" in date_format:
        raise QueryError.at(at, f"must be year, month, day or a format of at most {_MAX_FORMAT} characters")
    if path.kind not in {FieldKind.DATE, FieldKind.ANY}:
        raise QueryError.at(at, f"{path.name!r} is not a date")
    if date_format in set(DatePart):
        return DatePart(date_format)
    pieces = iter(date_format)
    for character in pieces:
        if character == "%" and next(pieces, "") not in _DIRECTIVES:
            raise QueryError.at(
                at, f"{date_format!r} is not a format; use % with one of {' '.join(sorted(_DIRECTIVES))}"
            )
    return date_format


def _field(item: object, rows: Rows, slot: str, at: str) -> tuple[GroupField, str]:
    source = mapping(item, at)
    key, key_name = alias(source, "key", "k")
    name, name_name = alias(source, "name", "n")
    operator, operator_name = alias(source, "operator", "o")
    if not isinstance(operator, str) or operator not in set(Accumulator):
        raise QueryError.at(f"{at}.{operator_name}", f"must be one of {', '.join(Accumulator)}")
    accumulator = Accumulator(operator)
    named = column_name(name, f"{at}.{name_name}")
    inner = members(source.get("fields"), f"{at}.fields", MAX_COLUMNS)
    predicates = _predicates(source.get("conditions"), rows, f"{at}.conditions")
    if predicates and accumulator not in _WITH_PREDICATES:
        raise QueryError.at(f"{at}.conditions", f"{operator} does not take conditions")
    if accumulator is Accumulator.COUNT:
        return GroupField(slot, accumulator, conditions=predicates), named
    if accumulator is Accumulator.PUSH and not key:
        if not inner:
            raise QueryError.at(f"{at}.{key_name}", "push needs a key or fields")
        pushed = tuple(_member(member, rows, f"{at}.fields[{index}]") for index, member in enumerate(inner))
        return GroupField(slot, accumulator, members=pushed), named
    return GroupField(slot, accumulator, rows.find(key, f"{at}.{key_name}"), conditions=predicates), named


def _member(item: object, rows: Rows, at: str) -> tuple[str, FieldPath]:
    source = mapping(item, at)
    key, key_name = alias(source, "key", "k")
    name, name_name = alias(source, "name", "n")
    named = column_name(name, f"{at}.{name_name}")
    if "." in named:
        raise QueryError.at(f"{at}.{name_name}", "must not contain '.'")
    return named, rows.find(key, f"{at}.{key_name}")


def _predicates(conditions: object, rows: Rows, at: str) -> tuple[GroupPredicate, ...]:
    return tuple(
        _predicate(mapping(item, f"{at}[{index}]"), rows, f"{at}[{index}]")
        for index, item in enumerate(members(conditions, at, MAX_FILTERS))
    )


def _predicate(source: Mapping[str, object], rows: Rows, at: str) -> GroupPredicate:
    key, key_name = alias(source, "key", "k")
    value, value_name = alias(source, "value", "v")
    operator, operator_name = alias(source, "operator", "o")
    if not isinstance(operator, str) or operator not in set(Comparison):
        raise QueryError.at(f"{at}.{operator_name}", f"must be one of {', '.join(Comparison)}")
    if value_name not in source:
        raise QueryError.at(f"{at}.{value_name}", "a value is required")
    path, comparison = rows.find(key, f"{at}.{key_name}"), Comparison(operator)
    if value is None and path.kind is FieldKind.TEXT:  # as upstream: texts of events are never null
        raise QueryError.at(f"{at}.{value_name}", "a value is required; this field is never null")
    return GroupPredicate(path, comparison, compared_value(comparison, value, path, f"{at}.{value_name}"))
