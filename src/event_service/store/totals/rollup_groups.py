"""Groups that only count, from counted hours: how many events of each severity, webhook or hour."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeAlias

from event_service.query.fields import Origin
from event_service.query.stat_query import StatQuery
from event_service.query.stat_stages import Accumulator, Group, GroupKey, Limit, Sort, Stage
from event_service.store.totals.rollup_bucket import DIMENSIONS, Bucket, Dimensions

Row: TypeAlias = dict[str, Any]
"""A row as the $group gives it: `_id` with the keys by slot, and the counts by slot."""

Groups: TypeAlias = Counter[tuple[str | None, ...]]
"""How many events there are, by the values of a group's keys."""

CountGroups = Callable[[datetime | None, datetime | None], Iterable[Mapping[str, Any]]]
"""(since, before) -> rows of the group over the events of that time."""

_FORMATS = frozenset({"%Y-%m-%dT%H", "%Y-%m-%dT%H:00:00Z", "%Y-%m-%dT%H:00", "%Y-%m-%d", "%Y-%m", "%Y", "%H"})
"""Formats of a time that are the same for all of an hour."""


@dataclass(frozen=True, slots=True)
class RollupGroup:
    """A group that counted hours can answer.

    Attributes:
        keys: (slot, position in a kind, or None and the format of a time).
        counts: the slots of the counts.
        sort: levels (in the keys, slot, descending).
        limit: None for all rows.
    """

    keys: tuple[tuple[str, int | None, str], ...]
    counts: tuple[str, ...]
    sort: tuple[tuple[bool, str, bool], ...]
    limit: int | None

    def add_hour(self, groups: Groups, hour: Bucket, allowed: Callable[[Dimensions], bool]) -> None:
        """Adds an hour's events."""
        texts = {format_: hour.begin.strftime(format_) for _, place, format_ in self.keys if place is None}
        for kind, number in hour.kinds.items():
            if allowed(kind):
                groups[self._group(kind, texts)] += number

    def add_undated(
        self, groups: Groups, kinds: Mapping[Dimensions, int], allowed: Callable[[Dimensions], bool]
    ) -> None:
        """Adds events without a time."""
        for kind, number in kinds.items():
            if allowed(kind):
                groups[self._group(kind, {})] += number

    def add_rows(self, groups: Groups, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds what the database has grouped."""
        for row in rows:
            groups[tuple(row["_id"].get(slot) for slot, _, _ in self.keys)] += int(row[self.counts[0]])

    def rows(self, groups: Groups) -> list[Row] | None:
        """The rows; None where a key is missing from a row, which hours do not tell from null."""
        if any(value is None for key in groups for value in key):
            return None
        slots = [slot for slot, _, _ in self.keys]
        rows = [
            {"_id": dict(zip(slots, key, strict=True)), **dict.fromkeys(self.counts, number)}
            for key, number in groups.items()
            if number
        ]
        for in_keys, slot, descending in reversed(self.sort):
            rows.sort(key=_value_at(in_keys, slot), reverse=descending)
        return list(islice(rows, self.limit))

    def _group(self, kind: Dimensions, texts: Mapping[str, str]) -> tuple[str | None, ...]:
        return tuple(kind[place] if place is not None else texts.get(format_) for _, place, format_ in self.keys)


def _value_at(in_keys: bool, slot: str) -> Callable[[Row], Any]:
    def value(row: Row) -> Any:
        return row["_id"][slot] if in_keys else row[slot]

    return value


def rollup_group(query: StatQuery) -> RollupGroup | None:
    """The query as a counted group; None where it is more than that."""
    stages = query.stages or ()
    if not stages or query.page.limit or not isinstance(stages[0], Group):
        return None
    group = stages[0]
    counts = tuple(field.slot for field in group.fields)
    if not counts or any(f.accumulator is not Accumulator.COUNT or f.conditions for f in group.fields):
        return None
    keys = [_key(key) for key in group.keys]
    slots = {(True, key.slot) for key in group.keys} | {(False, slot) for slot in counts}
    ordered = _order(stages[1:], slots)
    if None in keys or ordered is None:
        return None
    return RollupGroup(tuple(key for key in keys if key), counts, *ordered)


def _key(key: GroupKey) -> tuple[str, int | None, str] | None:
    if key.path.name in DIMENSIONS and key.date is None:
        return key.slot, DIMENSIONS.index(key.path.name), ""
    if key.path.name == "created_at" and isinstance(key.date, str) and key.date in _FORMATS:
        return key.slot, None, key.date
    return None


def _order(
    stages: Sequence[Stage], slots: Set[tuple[bool, str]]
) -> tuple[tuple[tuple[bool, str, bool], ...], int | None] | None:
    """How the rows are sorted, and how many are wanted; None where more than that is done with them."""
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
    return (sort, limit) if all((in_keys, slot) in slots for in_keys, slot, _ in sort) else None
