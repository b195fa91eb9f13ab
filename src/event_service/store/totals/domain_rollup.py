"""The rollup of one domain in memory, at one revision, with a cache of what was computed from it."""

import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate, groupby
from typing import Generic, NamedTuple, TypeVar

from cachetools import LRUCache

from event_service.store.totals.rollup_bucket import LATE, Bucket, Dimensions
from event_service.store.totals.rollup_groups import Groups, RollupGroup
from event_service.store.totals.rollup_query import RollupQuery

_CACHED_QUERIES = 64
_CACHED_PARTIAL_COUNTS = 512
_MAX_CACHED_GROUPS = 5000  # larger results are computed each time: they would fill the memory

Value = TypeVar("Value")


class BucketRange(NamedTuple):
    """Whole buckets between two bounds, at `first <= position < end`, and the buckets that a bound cuts."""

    first: int
    end: int
    partial: list[Bucket]


class _Cache(Generic[Value]):
    """LRU cache of computed values. Safe for many threads; two of them may compute the same value.

    Args:
        capacity: maximum number of values.
        cacheable: returns False for a value that must not be cached.
    """

    def __init__(self, capacity: int, cacheable: Callable[[Value], bool] = lambda _: True) -> None:
        self._cacheable = cacheable
        self._values: LRUCache[Hashable, Value] = LRUCache(capacity)
        self._lock = threading.Lock()

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        with self._lock:
            if key in self._values:
                return self._values[key]
        value = compute()  # without the lock: others may read meanwhile
        if self._cacheable(value):
            with self._lock:
                self._values[key] = value
        return value


class DomainRollup:
    """The buckets of one domain. Replaced as a whole when one of them changes.

    Attributes:
        revision: stored revision of the rollup.
        buckets: oldest first.
        begins: `begin` of each bucket.
        undated: counts of the events without created_at.
        checked_at: when the revision was last compared with the stored one, in monotonic seconds.
        loaded_at: when the buckets were read, in monotonic seconds.
    """

    def __init__(
        self, revision: int, buckets: Iterable[Bucket], undated: Mapping[Dimensions, int], loaded_at: float
    ) -> None:
        self.revision = revision
        self.buckets = sorted(buckets, key=lambda bucket: bucket.begin)
        self.undated = undated
        self.loaded_at = self.checked_at = loaded_at
        self.begins = [bucket.begin for bucket in self.buckets]
        self._invalidated = [n for n, bucket in enumerate(self.buckets) if bucket.invalidated_at is not None]
        self._expiring = sorted(
            (bucket.expires_from, n) for n, bucket in enumerate(self.buckets) if bucket.expires_from is not None
        )
        self._prefix_sums: _Cache[list[int]] = _Cache(_CACHED_QUERIES)
        self._groups: _Cache[Groups] = _Cache(_CACHED_QUERIES, lambda groups: len(groups) <= _MAX_CACHED_GROUPS)
        self._partial_counts: _Cache[int] = _Cache(_CACHED_PARTIAL_COUNTS)

    def bucket_range(self, since: datetime | None, before: datetime | None) -> BucketRange:
        """Return the buckets between two times; None for no bound."""
        first = 0 if since is None else bisect_left(self.begins, since)
        end = len(self.begins) if before is None else bisect_left(self.begins, before)
        partial = []
        if since is not None and first and self.buckets[first - 1].end > since:
            partial.append(self.buckets[first - 1])
        if before is not None and end > first and self.buckets[end - 1].end > before:
            end -= 1
            partial.append(self.buckets[end])
        return BucketRange(first, max(first, end), partial)

    def invalid_positions(self, within: BucketRange, now: datetime) -> tuple[int, ...]:
        """Return the positions of the whole buckets that must be counted live, in ascending order."""
        expired = bisect_right(self._expiring, (now, len(self.buckets)))
        positions = {*self._invalidated, *(position for _, position in self._expiring[:expired])}
        positions.update(self.early_positions(now))
        return tuple(sorted(position for position in positions if within.first <= position < within.end))

    def early_positions(self, now: datetime) -> range:
        """Return the positions of the buckets that were counted too early, by a clock that was ahead.

        Events may still be stored in them without invalidating them.
        """
        return range(bisect_right(self.buckets, now - LATE, key=lambda bucket: bucket.end), len(self.buckets))

    def spans(self, positions: Sequence[int]) -> Iterator[tuple[datetime, datetime]]:
        """Yield (begin, end) of the buckets at these positions; adjacent buckets give one span."""
        for _, run in groupby(enumerate(positions), lambda numbered: numbered[1] - numbered[0]):
            adjacent = [position for _, position in run]
            yield self.buckets[adjacent[0]].begin, self.buckets[adjacent[-1]].end

    def prefix_sums(self, query: RollupQuery) -> list[int]:
        """Return the number of matching events before each bucket, and last the number in all of them."""

        def compute() -> list[int]:
            return [0, *accumulate(query.count(bucket.counts) for bucket in self.buckets)]

        return self._prefix_sums.get(query.allowed, compute)

    def groups(
        self, query: RollupQuery, group: RollupGroup, within: BucketRange, excluded: tuple[int, ...] = ()
    ) -> Groups:
        """Return the groups of the whole buckets but those at excluded positions; a copy that the caller may change."""

        def compute() -> Groups:
            groups: Groups = Counter()
            for position in sorted({*range(within.first, within.end)}.difference(excluded)):
                group.add_bucket(groups, self.buckets[position], query.allows)
            return groups

        return self._groups.get((query.allowed, group.keys, within.first, within.end, excluded), compute).copy()

    def partial_count(self, key: bytes, bucket: Bucket, now: datetime, count: Callable[[], int]) -> int:
        """Return the count of a part of a bucket, cached while the bucket is valid.

        Args:
            key: identifies the part and the filter.
        """
        return self._partial_counts.get(key, count) if bucket.is_valid(now) else count()
