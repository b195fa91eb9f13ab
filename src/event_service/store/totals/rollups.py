"""Totals, positions and groups from rollups: a few buckets are read instead of every event.

A range of time is divided into the longest buckets inside it: months, days of the rest, hours of the rest. What no
valid bucket with the needed counts covers is counted live: events above the watermark, buckets that a bound cuts, late
and expired events. So every number is exact, no matter when and by which replica the buckets were counted.
`rollup_store` describes how they are maintained.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

from cachetools import LRUCache

from event_service.errors import EventServiceError
from event_service.store.compile import both, compile_times
from event_service.store.totals.buckets import HOUR, LATE, WATERMARK, Bucket, Counts, Grouping, Level
from event_service.store.totals.domain_buckets import DomainBuckets, Piece, Wanted
from event_service.store.totals.rollup_groups import CountGroups, Groups, RollupGroup, Row
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

MAX_SPANS = 8
"""Live counts of one query. With more, all events are counted at once."""

_CACHED_DOMAINS = 200
_CACHED_COUNTS = 150_000  # in all buckets: about 30 MB
_CACHED_SUMS = 20_000

_log = logging.getLogger(__name__)

Count = Callable[[Mapping[str, Any]], int]
_Version: TypeAlias = tuple[str, Piece, Grouping]


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
        self._domains: LRUCache[str, DomainBuckets] = LRUCache(_CACHED_DOMAINS)
        self._missing_since: LRUCache[str, float] = LRUCache(_CACHED_DOMAINS)
        self._counts: LRUCache[_Version, Counts] = LRUCache(_CACHED_COUNTS, getsizeof=lambda counts: len(counts) + 1)
        self._sums: LRUCache[tuple[_Version, object], int] = LRUCache(_CACHED_SUMS)
        self._requested: set[str] = set()
        self._audited: LRUCache[str, tuple[Level, Bucket | None]] = LRUCache(_CACHED_DOMAINS)
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
        """Return the number of matching events, or None if rollups cannot say.

        Args:
            timeless: the query as a filter, without its bounds of created_at.

        Raises:
            QueryTimeout, Unavailable: the database failed.
        """
        if query.is_empty:
            return 0
        grouping = query.grouping()
        pieces = self._pieces(query, grouping)
        undated = self._undated(query, grouping)
        if pieces is None or undated is None:
            return None
        total = sum(number for _, number in query.matching(grouping, undated))
        for piece, counts in pieces:
            if counts is None:
                total += self._count(both(timeless, compile_times(piece.begin, piece.end)))
            else:
                total += self._sum(query, grouping, piece, counts)
        return total

    def matches_nothing(self, query: RollupQuery, timeless: Mapping[str, Any]) -> bool:
        """Return True if rollups tell that no event matches, a late one stored just now included.

        Raises:
            QueryTimeout, Unavailable: the database failed.
        """
        if self.total(query, timeless) != 0:
            return False
        self._check_soon(query.domain_id)
        return self.total(query, timeless) == 0

    def seek(self, query: RollupQuery, timeless: Mapping[str, Any], skip: int) -> SeekPosition | None:
        """Return the position of the row that `skip` newer rows precede, or None if rollups cannot say.

        Raises:
            QueryTimeout, Unavailable: the database failed.
        """
        grouping = query.grouping()
        pieces = self._pieces(query, grouping)
        undated = self._undated(query, grouping)
        if query.is_empty or pieces is None or undated is None:
            return None
        oldest: datetime | None = None
        while pieces:
            piece, counts = pieces.pop(0)
            oldest = piece.begin
            if counts is None:
                number = self._count(both(timeless, compile_times(piece.begin, piece.end)))
            else:
                number = self._sum(query, grouping, piece, counts)
            if number <= skip:
                skip -= number
            elif isinstance(piece, Bucket) and piece.level is not Level.HOUR:
                finer = self._pieces(query, grouping, within=piece)
                if finer is None:
                    return None
                pieces = finer + pieces
            else:
                return None if piece.end is None else SeekPosition(piece.end, skip)
        if oldest is None:
            return None
        rest = sum(number for _, number in query.matching(grouping, undated))
        return SeekPosition(oldest, skip, past_the_end=skip >= rest)

    def groups(self, query: RollupQuery, group: RollupGroup, count_groups: CountGroups) -> list[Row] | None:
        """Return the rows of a group that only counts, or None if the database has to group.

        Args:
            count_groups: groups the matching events between two times.

        Raises:
            QueryTimeout, Unavailable: the database failed.
        """
        if query.is_empty:
            return []
        grouping = query.grouping(*group.dimensions)
        pieces = self._pieces(query, grouping, coarsest=group.coarsest)
        undated = self._undated(query, grouping)
        if pieces is None or undated is None:
            return None
        groups: Groups = Counter()
        group.add_counts(groups, query, grouping, undated, None)
        for piece, counts in pieces:
            if counts is None:
                group.add_rows(groups, count_groups(piece.begin, piece.end))
            else:
                group.add_counts(groups, query, grouping, counts, piece.begin)
        return group.rows(groups)

    def _pieces(
        self,
        query: RollupQuery,
        grouping: Grouping,
        *,
        within: Bucket | None = None,
        coarsest: Level = Level.MONTH,
    ) -> list[tuple[Piece, Counts | None]] | None:
        """Divide the time of a query, or a bucket, into buckets with their counts and spans without; newest first.

        Returns:
            None if there is no rollup, or too much must be counted live.
        """
        for _ in range(3):
            domain = self._current(query.domain_id)
            if domain is None or domain.newest is None:
                return None
            if within is None:
                pieces = domain.divide(query.since, query.before, Wanted(grouping, coarsest, self._now()))
            else:
                finer = Level(within.level - 1)
                pieces = domain.divide(within.begin, within.end, Wanted(grouping, finer, self._now()))
            buckets = [piece for piece in pieces if isinstance(piece, Bucket)]
            if len(pieces) - len(buckets) > MAX_SPANS:
                return None
            if domain.newest.end + WATERMARK + MAX_LAG < self._now() or domain.has_invalid:
                self._wake()
            if (found := self._counts_of(query.domain_id, buckets, grouping)) is not None:
                return [(piece, found[piece] if isinstance(piece, Bucket) else None) for piece in pieces]
            self._check_soon(query.domain_id)
        return None

    def _counts_of(self, domain_id: str, buckets: list[Bucket], grouping: Grouping) -> dict[Bucket, Counts] | None:
        """Return the counts of buckets, or None if one was written since it was loaded."""
        with self._lock:
            cached = {bucket: self._counts.get((domain_id, bucket, grouping)) for bucket in buckets}
        found = {bucket: counts for bucket, counts in cached.items() if counts is not None}
        if missing := [bucket for bucket in buckets if bucket not in found]:
            loaded = self._store.counts(domain_id, missing, grouping)
            if len(loaded) < len(missing):
                return None
            with self._lock:
                for bucket, counts in loaded.items():
                    if len(counts) < _CACHED_COUNTS:
                        self._counts[domain_id, bucket, grouping] = counts
            found.update(loaded)
        return found

    def _sum(self, query: RollupQuery, grouping: Grouping, bucket: Piece, counts: Counts) -> int:
        key = ((query.domain_id, bucket, grouping), query.allowed)
        with self._lock:
            number = self._sums.get(key)
        if number is None:
            number = sum(number for _, number in query.matching(grouping, counts))
            with self._lock:
                self._sums[key] = number
        return number

    def _undated(self, query: RollupQuery, grouping: Grouping) -> Counts | None:
        """Return the counts of events without created_at that a query may match, or None if they are not kept."""
        domain = None if query.has_bounds else self._current(query.domain_id)
        return {} if domain is None else domain.undated(grouping)

    def refresh(self) -> None:
        """Build requested rollups, advance the others to the watermark, and recount due buckets."""
        for domain_id in list(self._requested):
            self._requested.discard(domain_id)  # a query asks again, unless the other process builds it
            if not self._may_refresh(domain_id):
                continue
            started = self._clock()
            self._store.build(domain_id, self._now())
            _log.info("built a rollup", extra={"domain_id": domain_id, "seconds": self._clock() - started})
            with self._lock:
                self._domains.pop(domain_id, None)
                self._missing_since.pop(domain_id, None)
            self._current(domain_id)
        with self._lock:
            cached = list(self._domains)
        for domain_id in filter(self._may_refresh, cached):
            domain, now = self._current(domain_id), self._now()
            if domain is None or domain.newest is None:
                continue
            if domain.newest.end > now - LATE:
                self._store.invalidate_early(domain_id, now)
            elif now - domain.newest.end > WATERMARK + timedelta(seconds=1):
                self._store.advance(domain_id, domain.newest, now)
            self._check_soon(domain_id)
            self._recount(domain_id)

    def _recount(self, domain_id: str) -> None:
        """Recount the buckets that are invalid, and audit the next one in turn."""
        if self._clock() < self._next_recount_at.get(domain_id, 0.0):
            return
        started, now = self._clock(), self._now()
        for bucket in self._store.due(domain_id, now):
            self._store.recount(domain_id, bucket, now)
        self._audit(domain_id, now)
        self._next_recount_at[domain_id] = self._clock() + (self._clock() - started) * RECOUNT_SHARE
        self._check_soon(domain_id)

    def _audit(self, domain_id: str, now: datetime) -> None:
        """Recount a bucket and the gap before it; log differences, which writes by other programs cause."""
        level, last = self._audited.get(domain_id, (Level.HOUR, None))
        bucket = self._store.next(domain_id, level, last.begin if last else None)
        for _ in Level:
            if bucket is None:
                level, last = Level((level + 1) % len(Level)), None
                bucket = self._store.next(domain_id, level, None)
        self._audited[domain_id] = (level, bucket)
        if bucket is None or bucket.invalidated_at is not None:
            return
        if self._store.recount(domain_id, bucket, now) and bucket.is_valid(now):
            _log.warning("corrected a rollup bucket", extra={"bucket": bucket.id(domain_id)})
        if level is not Level.MONTH:
            coarser = Level(level + 1)
            self._store.add(domain_id, coarser, coarser.begin(bucket.begin), now)
        older = last.begin + HOUR if last else None
        if level is Level.HOUR and older != bucket.begin and self._store.fill_gap(domain_id, older, bucket.begin, now):
            _log.warning("added missing rollup buckets", extra={"older_than": bucket.begin.isoformat()})

    def _current(self, domain_id: str) -> DomainBuckets | None:
        """Return the buckets of a domain, at most CHECK_SECONDS old."""
        clock = self._clock()
        with self._lock:
            cached = self._domains.get(domain_id)
            missing_since = self._missing_since.get(domain_id)
        if cached is not None and clock - cached.checked_at < CHECK_SECONDS:
            return cached
        if cached is None and missing_since is not None and clock - missing_since < CHECK_MISSING_SECONDS:
            return None
        revision = self._store.revision(domain_id)
        if revision is None:
            with self._lock:
                self._domains.pop(domain_id, None)
                self._missing_since[domain_id] = clock
            return None
        if cached is None or cached.revision != revision:
            # `now` may have been set back meanwhile.
            older = (cached, self._now() - timedelta(seconds=clock - cached.loaded_at)) if cached else None
            cached = DomainBuckets(self._store, domain_id, revision, clock, older)
        cached.checked_at = clock
        with self._lock:
            self._domains[domain_id] = cached
        return cached

    def _check_soon(self, domain_id: str) -> None:
        """Make the next query compare revisions."""
        with self._lock:
            cached = self._domains.get(domain_id)
            if cached is not None:
                cached.checked_at = float("-inf")

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
