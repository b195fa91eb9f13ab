"""Filters: the predicates of a request, validated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from event_service.errors import (
    OperatorBooleanType,
    OperatorListValueType,
    OperatorObjectValueType,
    OperatorValueType,
    QueryError,
)
from event_service.query.dates import iso_date, lenient_date, time_difference
from event_service.query.fields import FieldKind, FieldPath, FieldSet, check_key
from event_service.query.regex_rule import PatternFault, checked_pattern
from event_service.query.values import Value, alias, json_value, mapping, members, scalar, text
from event_service.wire.timestamps import truncate

MAX_SUBSTRING = 4096
"""Characters of a substring: MongoDB takes regular expressions of at most 32 KiB."""

MAX_FILTERS = 1000
"""Filters per list, and patterns or substrings per filter: thousands of predicates take the database longer than the
time limit of a query."""

_FAULTS_IN_TEXT = 5


class Comparison(StrEnum):
    """A comparison of a field with a value."""

    EQUAL = "eq"
    NOT_EQUAL = "not"
    LESS = "lt"
    LESS_OR_EQUAL = "lte"
    GREATER = "gt"
    GREATER_OR_EQUAL = "gte"


@dataclass(frozen=True, slots=True)
class Compare:
    """`eq not lt lte gt gte` and their datetime_ and timediff_ forms. null also matches a missing field."""

    path: FieldPath
    comparison: Comparison
    value: Value


@dataclass(frozen=True, slots=True)
class Exists:
    """The field exists, even if it is null; or it does not."""

    path: FieldPath
    present: bool


@dataclass(frozen=True, slots=True)
class Contains:
    """A string, or a string of the list, contains one of the substrings in any case; or none of them."""

    path: FieldPath
    substrings: tuple[str, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field, or a member of its list, equals one of the values; or none of them."""

    path: FieldPath
    values: tuple[Value, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Matches:
    """A string, or a string of the list, matches one of the patterns somewhere, in any case."""

    path: FieldPath
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MemberTest:
    """A test of one key of a list member: a comparison, or one of values."""

    key: tuple[str, ...]
    comparison: Comparison | None
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class HasMember:
    """A member of the list is an object that passes all tests."""

    path: FieldPath
    tests: tuple[MemberTest, ...]


Predicate: TypeAlias = Compare | Exists | Contains | OneOf | Matches | HasMember


@dataclass(frozen=True, slots=True)
class Where:
    """The filter of a list or stat: every predicate of `every`, and one of `some` unless it is empty."""

    every: tuple[Predicate, ...] = ()
    some: tuple[Predicate, ...] = ()


EVERYTHING = Where()


@dataclass(frozen=True, slots=True)
class _Item:
    """A filter while it is parsed; `value_at` is the path of its value."""

    path: FieldPath
    operator: str
    value: object
    value_at: str
    now: datetime


def parse_where(
    query: Mapping[str, object], equals: Mapping[str, str | int], fields: FieldSet, now: datetime, at: str = "query"
) -> Where:
    """Return the filter of `filter`, `filter_or`, `keyword` and the request's own fields.

    Args:
        equals: request fields that must equal a value; "" and 0 are unset fields.
        now: start of timediff operators.

    Raises:
        QueryError: invalid filters, all of them.
    """
    from_request = tuple(
        Compare(fields.resolve(name, name), Comparison.EQUAL, scalar(value, name))
        for name, value in equals.items()
        if value
    )
    faults: list[QueryError] = []
    every = _predicates(query.get("filter"), fields, now, f"{at}.filter", faults)
    some = _predicates(query.get("filter_or"), fields, now, f"{at}.filter_or", faults)
    if faults:
        raise _all_of(faults)
    return Where(from_request + every, some + _keyword(query.get("keyword"), fields, f"{at}.keyword"))


def _predicates(
    filters: object, fields: FieldSet, now: datetime, at: str, faults: list[QueryError]
) -> tuple[Predicate, ...]:
    """Return the predicates of the valid filters, and append the errors of the others to `faults`."""
    predicates = []
    for index, item in enumerate(members(filters, at, MAX_FILTERS)):
        try:
            predicates.append(parse_filter(item, fields, now, f"{at}[{index}]"))
        except QueryError as fault:
            faults.append(fault)
    return tuple(predicates)


def _all_of(faults: Sequence[QueryError]) -> QueryError:
    """Return one error with all violations, whose name is the first fault's and whose text has the first faults'."""
    texts = [fault.message for fault in faults[:_FAULTS_IN_TEXT]]
    if len(faults) > len(texts):
        texts.append(f"and {len(faults) - len(texts)} more")
    violations = [violation for fault in faults for violation in fault.violations]
    return type(faults[0])("; ".join(texts), violations=violations)


def parse_filter(item: object, fields: FieldSet, now: datetime, at: str) -> Predicate:
    """Return the predicate of `{k, v, o}` or `{key, value, operator}`. A missing value is null.

    Raises:
        QueryError: an unknown operator or field, or an invalid value.
    """
    source = mapping(item, at)
    key, key_name = alias(source, "key", "k")
    value, value_name = alias(source, "value", "v")
    operator, operator_name = alias(source, "operator", "o")
    known = _OPERATORS.get(operator) if isinstance(operator, str) else None
    if known is None or not isinstance(operator, str):
        raise QueryError.at(f"{at}.{operator_name}", f"must be one of {', '.join(_OPERATORS)}")
    parse, takes_list = known
    if takes_list and not isinstance(value, list):
        raise OperatorListValueType.at(f"{at}.{value_name}", f"{operator} takes a list")
    if not takes_list and isinstance(value, list):
        raise OperatorValueType.at(f"{at}.{value_name}", f"{operator} does not take a list")
    path = fields.resolve(key, f"{at}.{key_name}")
    return parse(_Item(path, operator, value, f"{at}.{value_name}", now))


def _keyword(keyword: object, fields: FieldSet, at: str) -> tuple[Predicate, ...]:
    words = members(text(keyword or "", at).split(), at, MAX_FILTERS)
    if not words:
        return ()
    substrings = tuple(_substring(word, at) for word in words)
    # OR over the fields: parse_where adds them to filter_or.
    return tuple(Contains(fields.path(name), substrings, negated=False) for name in fields.keyword_fields)


def field_value(value: object, path: FieldPath, at: str) -> Value:
    """Return a value to compare a field with: a time for a date field, else JSON.

    Raises:
        QueryError: not a date for a date field, or not comparable JSON.
    """
    if path.kind is FieldKind.DATE and value is not None:
        return lenient_date(value, at)
    return json_value(value, at)


def _equality(item: _Item) -> Predicate:
    return Compare(item.path, Comparison(item.operator), field_value(item.value, item.path, item.value_at))


def _order(item: _Item) -> Predicate:
    value: Value
    if item.path.kind is FieldKind.DATE:
        value = field_value(item.value, item.path, item.value_at)
    else:
        value = scalar(item.value, item.value_at)
    return Compare(item.path, Comparison(item.operator), value)


def _exists(item: _Item) -> Predicate:
    if not isinstance(item.value, bool):
        raise OperatorBooleanType.at(item.value_at, "exists takes true or false")
    return Exists(item.path, item.value)


def _contain(item: _Item) -> Predicate:
    # MongoDB matches substrings in strings only: the filter would find nothing.
    if item.path.kind is FieldKind.DATE:
        raise QueryError.at(item.value_at, f"{item.path.name} is a date; use datetime_gte and datetime_lt")
    substrings = tuple(_substring(value, item.value_at) for value in _texts(item))
    return Contains(item.path, substrings, negated=item.operator.startswith("not_"))


def _membership(item: _Item) -> Predicate:
    values = tuple(field_value(value, item.path, item.value_at) for value in members(item.value, item.value_at))
    return OneOf(item.path, values, negated=item.operator.startswith("not_"))


def _regex(item: _Item) -> Predicate:
    return Matches(item.path, tuple(_pattern(value, item.value_at) for value in _texts(item)))


def _texts(item: _Item) -> list[object]:
    """Return the substrings or patterns of a filter."""
    return members(item.value, item.value_at, MAX_FILTERS) if isinstance(item.value, list) else [item.value]


def _match(item: _Item) -> Predicate:
    if not isinstance(item.value, Mapping):
        raise OperatorObjectValueType.at(item.value_at, "match takes an object")
    if item.path.kind is FieldKind.DATE:
        raise QueryError.at(item.value_at, f"{item.path.name} is a date and has no members")
    tests: list[MemberTest] = []
    for key, test in item.value.items():
        tests += _member_tests(check_key(key, item.value_at), test, f"{item.value_at}.{key}")
    return HasMember(item.path, tuple(tests))


_MEMBER_COMPARISONS = {
    "$eq": Comparison.EQUAL,
    "$ne": Comparison.NOT_EQUAL,
    "$lt": Comparison.LESS,
    "$lte": Comparison.LESS_OR_EQUAL,
    "$gt": Comparison.GREATER,
    "$gte": Comparison.GREATER_OR_EQUAL,
}


def _member_tests(key: tuple[str, ...], test: object, at: str) -> list[MemberTest]:
    # Only `match` spells comparisons with a `$`.
    names = list(test) if isinstance(test, Mapping) else []
    if not isinstance(test, Mapping) or not any(isinstance(name, str) and name.startswith("$") for name in names):
        return [MemberTest(key, Comparison.EQUAL, (json_value(test, at),))]
    tests: list[MemberTest] = []
    for name, value in test.items():
        if name in _MEMBER_COMPARISONS:
            tests.append(MemberTest(key, _MEMBER_COMPARISONS[name], (json_value(value, at),)))
        elif name in {"$in", "$nin"}:
            if not isinstance(value, list):
                raise QueryError.at(at, f"{name} takes a list")
            values = tuple(json_value(member, at) for member in value)
            tests.append(MemberTest(key, None, values, negated=name == "$nin"))
        else:
            raise QueryError.at(
                at, f"{name!r} is not a comparison; use one of {', '.join(_MEMBER_COMPARISONS)}, $in, $nin"
            )
    return tests


def _datetime(item: _Item) -> Predicate:
    comparison = Comparison(item.operator.removeprefix("datetime_"))
    return Compare(item.path, comparison, iso_date(item.value, item.value_at))


def _timediff(item: _Item) -> Predicate:
    comparison = Comparison(item.operator.removeprefix("timediff_"))
    return Compare(item.path, comparison, time_difference(item.value, item.value_at, item.now))


def _substring(value: object, at: str) -> str:
    substring = text(value, at)
    if len(substring) > MAX_SUBSTRING:
        raise QueryError.at(at, f"longer than {MAX_SUBSTRING} characters")
    return substring


def _pattern(value: object, at: str) -> str:
    pattern = text(value, at)
    try:
        return checked_pattern(pattern)
    except PatternFault as fault:
        raise QueryError.at(at, f"the regular expression is refused: {fault}") from None


_OPERATORS: dict[str, tuple[Callable[[_Item], Predicate], bool]] = {
    # operator: (parser, value is a list)
    "lt": (_order, False),
    "lte": (_order, False),
    "gt": (_order, False),
    "gte": (_order, False),
    "eq": (_equality, False),
    "not": (_equality, False),
    "exists": (_exists, False),
    "contain": (_contain, False),
    "not_contain": (_contain, False),
    "in": (_membership, True),
    "not_in": (_membership, True),
    "contain_in": (_contain, True),
    "not_contain_in": (_contain, True),
    "match": (_match, False),
    "regex": (_regex, False),
    "regex_in": (_regex, True),
    "datetime_lt": (_datetime, False),
    "datetime_lte": (_datetime, False),
    "datetime_gt": (_datetime, False),
    "datetime_gte": (_datetime, False),
    "timediff_lt": (_timediff, False),
    "timediff_lte": (_timediff, False),
    "timediff_gt": (_timediff, False),
    "timediff_gte": (_timediff, False),
}


# --- times of creation -----------------------------------------------------------------------------------------

_MILLISECOND = timedelta(milliseconds=1)  # resolution of stored times
_LOWER = frozenset({Comparison.GREATER, Comparison.GREATER_OR_EQUAL, Comparison.EQUAL})
_UPPER = frozenset({Comparison.LESS, Comparison.LESS_OR_EQUAL, Comparison.EQUAL})


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Bounds of created_at, aware UTC: the first included, the second not; None for no bound."""

    since: datetime | None = None
    before: datetime | None = None


def time_range(where: Where) -> TimeRange:
    """Return the bounds of created_at that every match lies within."""
    since: datetime | None = None
    before: datetime | None = None
    for each in where.every:
        if (bound := _created_at_bound(each)) is None:
            continue
        comparison, moment = bound
        if comparison in _LOWER:
            begin = moment + _MILLISECOND if comparison is Comparison.GREATER else moment
            since = begin if since is None else max(since, begin)
        if comparison in _UPPER:
            end = moment if comparison is Comparison.LESS else moment + _MILLISECOND
            before = end if before is None else min(before, end)
    return TimeRange(since, before)


def timeless(where: Where) -> Where:
    """Return the filter without the predicates that `time_range` covers."""
    return replace(where, every=tuple(each for each in where.every if _created_at_bound(each) is None))


def _created_at_bound(each: Predicate) -> tuple[Comparison, datetime] | None:
    """Return the comparison and the time of a predicate that limits created_at, or None."""
    if not isinstance(each, Compare) or each.path.name != "created_at" or not isinstance(each.value, datetime):
        return None
    # NOT_EQUAL excludes a single instant, which is no range.
    return None if each.comparison is Comparison.NOT_EQUAL else (each.comparison, truncate(each.value))
