"""Groups that only count, answered from rollups: the number of events by severity, webhook or hour."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeAlias

from event_service.query.fields import Origin
from event_service.query.stat_query import StatQuery
from event_service.query.stat_stages import Accumulator, Group, GroupKey, Limit, Sort, Stage
from event_service.store.totals.buckets import DIMENSIONS, Counts, Grouping, Level
from event_service.store.totals.rollup_query import RollupQuery

Row: TypeAlias = dict[str, Any]
"""A row as `$group` returns it: `_id` with the keys by slot, and the counts by slot."""

Groups: TypeAlias = Counter[tuple[str | None, ...]]
"""Number of events by the values of a group's keys."""

CountGroups = Callable[[datetime | None, datetime | None], Iterable[Mapping[str, Any]]]
"""(since, before) -> rows of the group over the events of that time."""

_FORMATS = {
    **dict.fromkeys(("%Y-%m-%dT%H", "%Y-%m-%dT%H:00:00Z", "%Y-%m-%dT%H:00", "%H"), Level.HOUR),
    "%Y-%m-%d": Level.DAY,
    "%Y-%m": Level.MONTH,
    "%Y": Level.MONTH,
}
"""Date formats, and the longest period that has one result for all of its times."""


@dataclass(frozen=True, slots=True)
class RollupGroup:
    """A group that buckets can answer.

    Attributes:
        keys: (slot, one of DIMENSIONS, "") or (slot, "", date format).
        counts: the slots of the counts.
        sort: levels of (is a key, slot, descending).
        limit: maximum number of rows; None for all.
    """

    keys: tuple[tuple[str, str, str], ...]
    counts: tuple[str, ...]
    sort: tuple[tuple[bool, str, bool], ...]
    limit: int | None

    @property
    def dimensions(self) -> list[str]:
        """Return the dimensions among the keys."""
        return [name for _, name, _ in self.keys if name]

    @property
    def coarsest(self) -> Level:
        """Return the longest buckets that tell the dates apart."""
        return min((_FORMATS[format_] for _, _, format_ in self.keys if format_), default=Level.MONTH)

    def add_counts(
        self, groups: Groups, query: RollupQuery, grouping: Grouping, counts: Counts, begin: datetime | None
    ) -> None:
        """Add matching events of a bucket that begins then; None for events without created_at."""
        indexes = [grouping.index(name) if name else -1 for _, name, _ in self.keys]
        dates = [begin.strftime(format_) if begin and format_ else None for _, _, format_ in self.keys]
        parts = list(zip(indexes, dates, strict=True))
        for values, number in query.matching(grouping, counts):
            groups[tuple([date if index < 0 else values[index] for index, date in parts])] += number

    def add_rows(self, groups: Groups, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows that the database has grouped."""
        for row in rows:
            groups[tuple(row["_id"].get(slot) for slot, _, _ in self.keys)] += int(row[self.counts[0]])

    def rows(self, groups: Groups) -> list[Row] | None:
        """Return the sorted rows, or None if a key is None: buckets do not distinguish missing from null."""
        if any(value is None for key in groups for value in key):
            return None
        slots = [slot for slot, _, _ in self.keys]
        rows = [
            {"_id": dict(zip(slots, key, strict=True)), **dict.fromkeys(self.counts, number)}
            for key, number in groups.items()
            if number
        ]
        for is_key, slot, descending in reversed(self.sort):
            rows.sort(key=_value_at(is_key, slot), reverse=descending)
        return list(islice(rows, self.limit))


def _value_at(is_key: bool, slot: str) -> Callable[[Row], Any]:
    def value(row: Row) -> Any:
        return row["_id"][slot] if is_key else row[slot]

    return value


def rollup_group(query: StatQuery) -> RollupGroup | None:
    """Return the group for a statistics query, or None if buckets cannot answer it."""
    stages = query.stages or ()
    if not stages or query.page.limit or not isinstance(stages[0], Group):
        return None
    group = stages[0]
    counts = tuple(field.slot for field in group.fields)
    if not counts or any(f.accumulator is not Accumulator.COUNT or f.conditions for f in group.fields):
        return None
    keys = [_key(key) for key in group.keys]
    slots = {(True, key.slot) for key in group.keys} | {(False, slot) for slot in counts}
    order = _order(stages[1:], slots)
    if None in keys or order is None:
        return None
    return RollupGroup(tuple(key for key in keys if key), counts, *order)


def _key(key: GroupKey) -> tuple[str, str, str] | None:
    if key.path.name in DIMENSIONS and key.date is None:
        return key.slot, key.path.name, ""
    if key.path.name == "created_at" and isinstance(key.date, str) and key.date in _FORMATS:
        return key.slot, "", key.date
    return None


def _order(
    stages: Sequence[Stage], slots: Set[tuple[bool, str]]
) -> tuple[tuple[tuple[bool, str, bool], ...], int | None] | None:
    """Return sort levels and limit, or None if the stages do anything else with the rows."""
    sort: tuple[tuple[bool, str, bool], ...] = ()
    limit: int | None = None
    for stage in stages:
        if isinstance(stage, Sort) and limit is None and not sort:
            sort = tuple(
                (path.origin is Origin.GROUP_KEY, ".".join(path.parts), descending) for path, descending in stage.levels
            )
        elif isinstance(stage, Limit) and limit is None:
            limit = stage.rows
        else:
            return None
    return (sort, limit) if all((is_key, slot) in slots for is_key, slot, _ in sort) else None
