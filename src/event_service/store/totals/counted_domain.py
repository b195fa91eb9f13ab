"""The counted hours of one domain, as they are at one revision, and what questions have made of them."""

import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate, groupby
from typing import Generic, NamedTuple, TypeVar

from cachetools import LRUCache

from event_service.store.totals.rollup_bucket import Bucket, Dimensions
from event_service.store.totals.rollup_groups import Groups, RollupGroup
from event_service.store.totals.rollup_query import RollupQuery

_QUESTIONS = 64
_PARTS = 512
_MOST_GROUPS = 5000
"""What has more of them is worked out each time: it would fill the memory."""

Value = TypeVar("Value")


class Whole(NamedTuple):
    """The hours, by position, that lie inside two bounds, and those that a bound cuts through."""

    first: int
    end: int
    cut: list[Bucket]


class _Memo(Generic[Value]):
    """What was worked out lately. Safe for many threads; two may work out the same at once.

    Args:
        capacity: values that are kept.
        fits: which of them may be.
    """

    def __init__(self, capacity: int, fits: Callable[[Value], bool] = lambda _: True) -> None:
        self._fits = fits
        self._known: LRUCache[Hashable, Value] = LRUCache(capacity)
        self._lock = threading.Lock()

    def get(self, key: Hashable, work_out: Callable[[], Value]) -> Value:
        with self._lock:
            if key in self._known:
                return self._known[key]
        value = work_out()
        if self._fits(value):
            with self._lock:
                self._known[key] = value
        return value


class RollupDomain:
    """Replaced as a whole when its hours change.

    Attributes:
        revision: of the hours, as it is stored.
        hours: oldest first.
        undated: kinds of the events without a time.
        looked_at: when the revision was last found to be this one, in monotonic seconds.
        begins: of the hours.
    """

    def __init__(
        self, revision: int, hours: Iterable[Bucket], undated: Mapping[Dimensions, int], looked_at: float
    ) -> None:
        self.revision = revision
        self.hours = sorted(hours, key=lambda hour: hour.begin)
        self.undated = undated
        self.looked_at = looked_at
        self.begins = [hour.begin for hour in self.hours]
        self._reopened = [position for position, hour in enumerate(self.hours) if hour.invalidated_at is not None]
        self._expiring = sorted(
            (hour.expires_from, position) for position, hour in enumerate(self.hours) if hour.expires_from is not None
        )
        self._sums: _Memo[list[int]] = _Memo(_QUESTIONS)
        self._groups: _Memo[Groups] = _Memo(_QUESTIONS, lambda groups: len(groups) <= _MOST_GROUPS)
        self._parts: _Memo[int] = _Memo(_PARTS)

    def whole(self, since: datetime | None, before: datetime | None) -> Whole:
        """The hours between two times; None for no bound."""
        first = 0 if since is None else bisect_left(self.begins, since)
        end = len(self.begins) if before is None else bisect_left(self.begins, before)
        cut = []
        if since is not None and first and self.hours[first - 1].until > since:
            cut.append(self.hours[first - 1])
        if before is not None and end > first and self.hours[end - 1].until > before:
            end -= 1
            cut.append(self.hours[end])
        return Whole(first, max(first, end), cut)

    def unsettled(self, whole: Whole, now: datetime) -> tuple[int, ...]:
        """Return the positions of the whole hours that have to be counted live: their events come or go just now."""
        due = bisect_right(self._expiring, (now, len(self.hours)))
        positions = {*self._reopened, *(position for _, position in self._expiring[:due])}
        return tuple(sorted(position for position in positions if whole.first <= position < whole.end))

    def spans(self, positions: Sequence[int]) -> Iterator[tuple[datetime, datetime]]:
        """Yield the times of these hours, those of neighbours as one."""
        for _, run in groupby(enumerate(positions), lambda numbered: numbered[1] - numbered[0]):
            neighbours = [position for _, position in run]
            yield self.hours[neighbours[0]].begin, self.hours[neighbours[-1]].until

    def sums(self, question: RollupQuery) -> list[int]:
        """How many events are asked for in all hours before each, and at last in all of them."""

        def work_out() -> list[int]:
            return [0, *accumulate(question.counts(hour.kinds) for hour in self.hours)]

        return self._sums.get(question.allowed, work_out)

    def groups(self, question: RollupQuery, group: RollupGroup, whole: Whole, left_out: tuple[int, ...] = ()) -> Groups:
        """The groups of some whole hours, but for those at some positions. A copy: the caller adds the rest."""

        def work_out() -> Groups:
            groups: Groups = Counter()
            for position in sorted({*range(whole.first, whole.end)}.difference(left_out)):
                group.add_hour(groups, self.hours[position], question.allows)
            return groups

        return self._groups.get((question.allowed, group.keys, whole.first, whole.end, left_out), work_out).copy()

    def part(self, key: bytes, hour: Bucket, now: datetime, count: Callable[[], int]) -> int:
        """The events of a part of an hour: a settled hour does not change while it is kept as it is."""
        return self._parts.get(key, count) if hour.is_settled(now) else count()
