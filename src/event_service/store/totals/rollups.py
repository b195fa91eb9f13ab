"""Totals and positions from rollups: a few buckets are read instead of every event.

A total is the sum of the buckets inside the bounds and a live count of the rest: of events above the watermark, of
invalid buckets, and of buckets that a bound cuts. So it is exact, no matter when and by which replica the buckets were
counted. `rollup_store` describes how they are maintained.
"""

import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import bson
from cachetools import LRUCache

from event_service.errors import EventServiceError
from event_service.store.compile import both, compile_times
from event_service.store.totals.domain_rollup import BucketRange, DomainRollup
from event_service.store.totals.rollup_bucket import HOUR, WATERMARK, Bucket
from event_service.store.totals.rollup_groups import CountGroups, RollupGroup, Row
from event_service.store.totals.rollup_query import RollupQuery
from event_service.store.totals.rollup_store import RollupStore
from event_service.wire.timestamps import utc_now

CHECK_SECONDS = 1.0
"""Interval at which the stored revision is checked for changes by other replicas and late events."""

CHECK_MISSING_SECONDS = 30.0
"""Interval at which a domain without a rollup is checked for one that another replica has built."""

MAX_LAG = timedelta(seconds=10)
"""Largest lag of the newest bucket behind the watermark while queries come."""

REFRESH_SECONDS = 60.0
"""Interval between refreshes without queries."""

RECOUNT_SHARE = 50
"""Recounts take at most one part in this many of the time."""

_CACHED_DOMAINS = 200

_log = logging.getLogger(__name__)

Count = Callable[[Mapping[str, Any]], int]


class SeekPosition(NamedTuple):
    """A position in a list, newest first: `skip` rows after the first one with created_at < `before`.

    Attributes:
        past_the_end: the list has no such row.
    """

    before: datetime
    skip: int
    past_the_end: bool = False


class Rollups:
    """The rollups of all domains that queries came for. Safe for many threads.

    Args:
        count: returns the number of events that match a filter; raises EventServiceError.
        clock: monotonic seconds.
        now: the current time, UTC.
        background: refresh in a thread of its own; False: only when `refresh` is called.
        may_refresh: returns False for a domain that another process refreshes at present.
    """

    def __init__(
        self,
        store: RollupStore,
        count: Count,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        background: bool = True,
        may_refresh: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._store = store
        self._count = count
        self._clock = clock
        self._now = now
        self._rollups: LRUCache[str, DomainRollup] = LRUCache(_CACHED_DOMAINS)
        self._missing_since: LRUCache[str, float] = LRUCache(_CACHED_DOMAINS)
        self._requested: set[str] = set()
        self._audit_position: LRUCache[str, int] = LRUCache(_CACHED_DOMAINS)
        self._next_recount_at: LRUCache[str, float] = LRUCache(_CACHED_DOMAINS)
        self._lock = threading.Lock()
        self._wakeup = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._background = background
        self._may_refresh = may_refresh

    def close(self) -> None:
        """Stop the background thread."""
        self._closed.set()
        self._wakeup.set()
        if self._thread:
            self._thread.join(2.0)

    def request(self, domain_id: str) -> None:
        """Have the rollup of a domain built in the background. Does not block."""
        self._requested.add(domain_id)
        self._wake()

    def total(self, query: RollupQuery, timeless: Mapping[str, Any]) -> int | None:
        """Return the number of matching events, or None if the domain has no rollup.

        Args:
            timeless: the query as a filter, without its bounds of created_at.

        Raises:
            QueryTimeout, Unavailable: the database failed.
        """
        rollup = self._current(query.domain_id)
        if rollup is None or not rollup.buckets:
            return None
        if query.is_empty:
            return 0
        self._wake_if_behind(rollup)
        within = rollup.bucket_range(query.since, query.before)
        total = 0 if query.has_bounds else query.count(rollup.undated)
        total += self._count_newest(rollup, query, timeless)
        total += sum(self._count_partial(rollup, query, timeless, bucket) for bucket in within.partial)
        sums = rollup.prefix_sums(query)
        total += sums[within.end] - sums[within.first]
        invalid = rollup.invalid_positions(within, self._now())
        # Replace the counts of invalid buckets by live counts.
        total -= sum(sums[position + 1] - sums[position] for position in invalid)
        return total + sum(self._count(both(timeless, compile_times(*span))) for span in rollup.spans(invalid))

    def seek(self, query: RollupQuery, timeless: Mapping[str, Any], skip: int) -> SeekPosition | None:
        """Return the position of the row that `skip` newer rows precede, or None if buckets cannot say.

        Raises:
            QueryTimeout, Unavailable: the database failed.
        """
        rollup = self._current(query.domain_id)
        if rollup is None or not rollup.buckets:
            return None
        within = rollup.bucket_range(query.since, query.before)
        first, end = within.first, within.end
        newer = self._count_newest(rollup, query, timeless)
        if first >= end or newer > skip:
            return None
        above = [bucket for bucket in within.partial if bucket.begin > rollup.begins[first]]
        newer += sum(self._count_partial(rollup, query, timeless, bucket) for bucket in above)
        if newer > skip:
            return None
        sums = rollup.prefix_sums(query)
        below = sums[end] - (skip - newer)
        at = bisect_left(sums, below) - 1
        # Counts of invalid buckets between the newest row and the position would shift it; the one it is in may be one.
        if (invalid := rollup.invalid_positions(within, self._now())) and invalid[-1] > at:
            return None
        if below <= sums[first]:  # older than all whole buckets
            older = [bucket for bucket in within.partial if bucket not in above]
            remaining = sum(self._count_partial(rollup, query, timeless, bucket) for bucket in older)
            remaining += 0 if query.has_bounds else query.count(rollup.undated)
            rest = skip - newer - (sums[end] - sums[first])
            return SeekPosition(rollup.begins[first], rest, past_the_end=rest >= remaining)
        return SeekPosition(rollup.buckets[at].end, skip - newer - (sums[end] - sums[at + 1]))

    def groups(self, query: RollupQuery, group: RollupGroup, count_groups: CountGroups) -> list[Row] | None:
        """Return the rows of a group that only counts, or None if the database has to group.

        Args:
            count_groups: groups the matching events between two times.

        Raises:
            QueryTimeout, Unavailable: the database failed.
        """
        rollup = self._current(query.domain_id)
        if rollup is None or not rollup.buckets:
            return None
        if query.is_empty:
            return []
        since, before = query.since, query.before
        self._wake_if_behind(rollup)
        within = rollup.bucket_range(since, before)
        invalid = rollup.invalid_positions(within, self._now())
        groups = rollup.groups(query, group, within, invalid)
        if not query.has_bounds:
            group.add_undated(groups, rollup.undated, query.allows)
        for span in rollup.spans(invalid):
            group.add_rows(groups, count_groups(*span))
        for bucket in within.partial:
            group.add_rows(groups, count_groups(*_clipped(bucket, query)))
        newest = rollup.buckets[-1].end
        if before is None or before > newest:
            group.add_rows(groups, count_groups(newest if since is None else max(since, newest), before))
        return group.rows(groups)

    def refresh(self) -> None:
        """Build requested rollups, advance the others to the watermark, and recount due buckets."""
        for domain_id in list(self._requested):
            self._requested.discard(domain_id)  # a query asks again, unless the other process builds it
            if not self._may_refresh(domain_id):
                continue
            started = self._clock()
            if self._store.build(domain_id, self._now()):
                _log.info("built a rollup", extra={"domain_id": domain_id, "seconds": self._clock() - started})
            with self._lock:
                self._rollups.pop(domain_id, None)
                self._missing_since.pop(domain_id, None)
            self._current(domain_id)
        with self._lock:
            cached = list(self._rollups)
        for domain_id in filter(self._may_refresh, cached):
            rollup = self._current(domain_id)
            if rollup is None or not rollup.buckets:
                continue
            for early in (rollup.buckets[position] for position in rollup.early_positions(self._now())):
                if early.invalidated_at is None:
                    self._store.invalidate_early(domain_id, early, self._now())
                    self._check_soon(domain_id)
            if self._now() - rollup.buckets[-1].end > WATERMARK + timedelta(seconds=1):
                self._store.advance(domain_id, rollup.buckets[-1], self._now())
                self._check_soon(domain_id)
            self._recount(domain_id)

    def _recount(self, domain_id: str) -> None:
        """Recount the buckets that are invalid, and audit the next one in turn."""
        rollup, now = self._current(domain_id), self._now()
        if rollup is None or not rollup.buckets or self._clock() < self._next_recount_at.get(domain_id, 0.0):
            return
        started = self._clock()
        # An invalidated bucket is recounted once its late events are stored.
        due = [
            bucket
            for bucket in rollup.buckets
            if (now - bucket.invalidated_at > WATERMARK if bucket.invalidated_at else not bucket.is_valid(now))
        ]
        position = self._audit_position.get(domain_id, 0) % len(rollup.buckets)
        self._audit_position[domain_id] = position + 1
        for bucket in due:
            self._store.recount(domain_id, bucket, now)
        self._audit(domain_id, rollup.buckets, position)
        self._next_recount_at[domain_id] = self._clock() + (self._clock() - started) * RECOUNT_SHARE
        self._check_soon(domain_id)

    def _audit(self, domain_id: str, buckets: Sequence[Bucket], position: int) -> None:
        """Recount a bucket and the gap before it; log differences, which writes by other programs cause."""
        bucket, now = buckets[position], self._now()
        if bucket.invalidated_at is not None:
            return
        recounted = self._store.recount(domain_id, bucket, now)
        if recounted is not None and recounted.counts != bucket.counts and bucket.is_valid(now):
            totals = {"counted": sum(bucket.counts.values()), "stored": sum(recounted.counts.values())}
            _log.warning("corrected a rollup bucket", extra={"bucket": bucket.begin.isoformat(), **totals})
        older = buckets[position - 1].begin + HOUR if position else None
        if older != bucket.begin and self._store.fill_gap(domain_id, older, bucket.begin, now):
            _log.warning("added missing rollup buckets", extra={"older_than": bucket.begin.isoformat()})

    def _current(self, domain_id: str) -> DomainRollup | None:
        """Return the rollup of a domain, at most CHECK_SECONDS old."""
        clock = self._clock()
        with self._lock:
            cached = self._rollups.get(domain_id)
            missing_since = self._missing_since.get(domain_id)
        if cached is not None and clock - cached.checked_at < CHECK_SECONDS:
            return cached
        if cached is None and missing_since is not None and clock - missing_since < CHECK_MISSING_SECONDS:
            return None
        header = self._store.header(domain_id)
        if header is None:
            with self._lock:
                self._rollups.pop(domain_id, None)
                self._missing_since[domain_id] = clock
            return None
        revision, undated = header
        if cached is None:
            cached = DomainRollup(revision, self._store.load(domain_id), undated, clock)
        elif cached.revision != revision:
            # Load only the buckets that were written since; `now` may have been set back meanwhile.
            since = self._now() - timedelta(seconds=clock - cached.loaded_at)
            buckets = {bucket.begin: bucket for bucket in cached.buckets}
            buckets.update((bucket.begin, bucket) for bucket in self._store.load(domain_id, since))
            cached = DomainRollup(revision, buckets.values(), undated, clock)
        else:
            cached.checked_at = clock
        with self._lock:
            self._rollups[domain_id] = cached
        return cached

    def _check_soon(self, domain_id: str) -> None:
        """Make the next query compare revisions."""
        with self._lock:
            cached = self._rollups.get(domain_id)
            if cached is not None:
                cached.checked_at = float("-inf")

    def _count_partial(
        self, rollup: DomainRollup, query: RollupQuery, timeless: Mapping[str, Any], bucket: Bucket
    ) -> int:
        begin, end = _clipped(bucket, query)
        if begin >= end:
            return 0
        matching = both(timeless, compile_times(begin, end))
        return rollup.partial_count(bson.encode(matching), bucket, self._now(), lambda: self._count(matching))

    def _count_newest(self, rollup: DomainRollup, query: RollupQuery, timeless: Mapping[str, Any]) -> int:
        """Count the events that are newer than the newest bucket."""
        newest, before = rollup.buckets[-1].end, query.before
        if before is not None and before <= newest:
            return 0
        begin = newest if query.since is None else max(query.since, newest)
        return self._count(both(timeless, compile_times(begin, before)))

    def _wake_if_behind(self, rollup: DomainRollup) -> None:
        now, everything = self._now(), BucketRange(0, len(rollup.buckets), [])
        if now - rollup.buckets[-1].end > WATERMARK + MAX_LAG or rollup.invalid_positions(everything, now):
            self._wake()

    def _wake(self) -> None:
        if not self._background or self._closed.is_set():
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rollups", daemon=True)
                self._thread.start()
        self._wakeup.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wakeup.wait(REFRESH_SECONDS)
            self._wakeup.clear()
            if self._closed.is_set():
                return
            try:
                self.refresh()
            except EventServiceError as error:
                _log.info("rollups were not refreshed", extra={"reason": str(error)})
            self._closed.wait(1.0)  # at most one refresh a second, however many queries come


def _clipped(bucket: Bucket, query: RollupQuery) -> tuple[datetime, datetime]:
    """Return the part of a bucket's time that is within the bounds of a query."""
    begin = bucket.begin if query.since is None else max(bucket.begin, query.since)
    end = bucket.end if query.before is None else min(bucket.end, query.before)
    return begin, end
