"""The times of creation that a filter asks for, apart from everything else it asks for."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeGuard

from event_service.query.filter import Compare, Comparison, Condition, Where
from event_service.wire.timestamps import truncate

_MOMENT = timedelta(milliseconds=1)  # times are stored in whole ones
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
        if not _is_about_time(each):
            continue
        moment = truncate(each.value)
        if each.comparison in _LOWER:
            begin = moment + _MOMENT if each.comparison is Comparison.GREATER else moment
            since = begin if since is None else max(since, begin)
        if each.comparison in _UPPER:
            end = moment if each.comparison is Comparison.LESS else moment + _MOMENT
            before = end if before is None else min(before, end)
    return TimeRange(since, before)


def timeless(where: Where) -> Where:
    """Return the filter without the conditions that `time_range` stands for."""
    return replace(where, every=tuple(each for each in where.every if not _is_about_time(each)))


class _TimeComparison(Protocol):
    """A `Compare` with a time."""

    comparison: Comparison
    value: datetime


def _is_about_time(each: Condition) -> TypeGuard[_TimeComparison]:
    return (
        isinstance(each, Compare)
        and each.path.name == "created_at"
        and isinstance(each.value, datetime)
        and each.comparison is not Comparison.NOT_EQUAL
    )
