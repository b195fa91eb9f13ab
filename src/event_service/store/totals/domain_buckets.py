"""The buckets of one domain, without their counts: which of them cover a range of time.

Days and months are in memory. Hours are loaded by the month when a query needs them.
"""

import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from cachetools import LRUCache

from event_service.store.totals.buckets import Bucket, Counts, Grouping, Level
from event_service.store.totals.rollup_store import Revision, RollupStore

_CACHED_MONTHS = 24  # of hours
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Span(NamedTuple):
    """A range of created_at that is counted live; None for no bound."""

    begin: datetime
    end: datetime | None


Piece = Bucket | Span


class Wanted(NamedTuple):
    """Buckets that a query can use: with certain counts, valid at a time, and at most so long."""

    grouping: Grouping
    coarsest: Level
    now: datetime


class DomainBuckets:
    """The buckets of one domain at one revision. Safe for many threads.

    Args:
        clock: when they are loaded, in monotonic seconds.
        older: an earlier revision; only what was written since is loaded.
        changed_since: time of the earlier revision.

    Attributes:
        revision: stored revision of the rollup.
        newest, oldest: the newest and the oldest hour; None if the rollup was deleted meanwhile.
        has_invalid: a query has met an invalid bucket.
        checked_at: when the revision was last compared with the stored one, in monotonic seconds.
        loaded_at: when the buckets were read, in monotonic seconds.
    """

    def __init__(
        self,
        store: RollupStore,
        domain_id: str,
        revision: Revision,
        clock: float,
        older: tuple["DomainBuckets", datetime] | None = None,
    ) -> None:
        self.revision = revision
        self.newest, self.oldest = store.newest(domain_id), store.oldest(domain_id)
        self.has_invalid = False
        self.checked_at = self.loaded_at = clock
        self._store = store
        self._domain_id = domain_id
        self._hours: LRUCache[datetime, dict[datetime, Bucket]] = LRUCache(_CACHED_MONTHS)
        self._coarse: dict[tuple[Level, datetime], Bucket] = {}
        self._undated: dict[Grouping, Counts | None] = {}
        self._lock = threading.Lock()
        if older is None or older[0].revision.build != revision.build:
            changed = store.load(domain_id, levels=(Level.DAY, Level.MONTH))
        else:
            changed = store.load(domain_id, changed_since=older[1])
            changed += [self.newest] if self.newest else []
            self._coarse, self._undated = dict(older[0]._coarse), older[0]._undated
            with older[0]._lock:
                self._hours.update({month: dict(hours) for month, hours in older[0]._hours.items()})
        for bucket in changed:
            if bucket.level is not Level.HOUR:
                self._coarse[bucket.level, bucket.begin] = bucket
            elif (hours := self._hours.get(Level.MONTH.begin(bucket.begin))) is not None:
                hours[bucket.begin] = bucket

    def undated(self, grouping: Grouping) -> Counts | None:
        """Return the counts of events without created_at, or None if they are not kept by this grouping."""
        if grouping not in self._undated:
            self._undated[grouping] = self._store.undated(self._domain_id, grouping)
        return self._undated[grouping]

    def divide(self, since: datetime | None, before: datetime | None, wanted: Wanted) -> list[Piece]:
        """Return the buckets that cover a range, and the spans that they do not cover; newest first."""
        if self.newest is None or self.oldest is None:
            return [Span(since or _EPOCH, before)]
        newest, oldest = self.newest.end, self.oldest.begin
        pieces: list[Piece] = []
        if before is None or before > newest:
            pieces.append(Span(newest if since is None else max(since, newest), before))
        begin, end = max(since or oldest, oldest), min(before or newest, newest)
        return _joined([*pieces, *self._divide(begin, end, Level.MONTH, wanted)])

    def _divide(self, since: datetime, before: datetime, level: Level, wanted: Wanted) -> Iterator[Piece]:
        hours = self._hours_of(since) if level is Level.HOUR else {}  # of one day, and so of one month
        for begin in level.newest_first(since, before):
            bucket = hours.get(begin) if level is Level.HOUR else self._coarse.get((level, begin))
            if bucket is not None and since <= begin and bucket.end <= before:
                valid = bucket.is_valid(wanted.now)
                self.has_invalid |= not valid
                if valid and level <= wanted.coarsest and wanted.grouping in bucket.kept:
                    yield bucket
                    continue
            first, end = max(since, begin), min(before, level.end(begin))
            if level is not Level.HOUR:
                yield from self._divide(first, end, Level(level - 1), wanted)
            elif bucket is not None and first < bucket.end:
                yield Span(first, min(end, bucket.end))

    def _hours_of(self, moment: datetime) -> dict[datetime, Bucket]:
        """Return the hours of the month that contains a moment."""
        month = Level.MONTH.begin(moment)
        with self._lock:
            hours = self._hours.get(month)
        if hours is None:
            loaded = self._store.load(self._domain_id, levels=[Level.HOUR], since=month, before=Level.MONTH.end(month))
            hours = {bucket.begin: bucket for bucket in loaded}
            with self._lock:
                self._hours[month] = hours
        return hours


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Return the pieces with one span for adjacent ones."""
    result: list[Piece] = []
    for piece in pieces:
        last = result[-1] if result else None
        if isinstance(piece, Span) and isinstance(last, Span) and piece.end == last.begin:
            result[-1] = Span(piece.begin, last.end)
        else:
            result.append(piece)
    return result
