"""How many documents match, without going through all of them each time, on a database that counts slowly.

The embedded database counts 30,000 documents in a second, and a narrow range of the indexed time in milliseconds.
Events do not change once they are some seconds old, they only become more. So what is older than a mark is counted
once and remembered, and only what is newer is counted when somebody asks. Deletions, and events that were long on
their way, are seen when everything is counted again, which happens in the background and takes at most a fiftieth of
the time.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import bson
from cachetools import LRUCache

from event_service.errors import EventServiceError
from event_service.store.compile import both
from event_service.store.time_windows import Between, within
from event_service.wire.timestamps import utc_now

_log = logging.getLogger(__name__)

CHEAP = 0.05
"""Seconds: what is counted faster is counted each time."""

SHARE = 50
"""Everything is counted again after this many times the time it took."""

ON_THEIR_WAY = timedelta(seconds=60)
"""Events that are younger may still be waiting to be written, as to a database that was away."""

_MANY = 2000
_CAPACITY = 500

Count = Callable[[Mapping[str, Any]], int]


@dataclass(slots=True)
class _Total:
    """What is known of one filter.

    Attributes:
        older: matches from before the mark.
        counted_at, took: when everything before the mark was counted (monotonic), and how long that took, in seconds.
    """

    older: int
    mark: datetime
    counted_at: float
    took: float
    counting: bool = False


@dataclass(frozen=True, slots=True)
class _Matching:
    """A filter that can be cut in two at a time."""

    timeless: Mapping[str, Any]
    between: Between

    def until(self, mark: datetime | None) -> dict[str, Any]:
        """What is older, and what has no time; None for everything."""
        since, before = self.between.since, self.between.before
        end = mark if before is None or (mark is not None and mark < before) else before
        if self.between.undated and end is not None:
            return both(self.timeless, {"created_at": {"$not": {"$gte": end}}})
        return both(self.timeless, within(since, end))

    def since(self, mark: datetime, further: datetime | None = None) -> dict[str, Any]:
        """What is newer, up to a further time."""
        since, before = self.between.since, self.between.before
        begin = mark if since is None or mark > since else since
        end = further if before is None or (further is not None and further < before) else before
        return both(self.timeless, within(begin, end))


def in_background(task: Callable[[], None]) -> None:
    """Runs a task in a thread of its own that does not keep the process alive."""
    threading.Thread(target=task, name="running-totals", daemon=True).start()


class RunningTotals:
    """Totals by filter. Safe for many threads.

    Args:
        count: counts the documents that match a filter; raises EventServiceError.
        later: runs a task without anybody waiting for it.
        clock: monotonic seconds.
        now: the present, UTC.
    """

    def __init__(
        self,
        count: Count,
        *,
        later: Callable[[Callable[[], None]], None] = in_background,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._count = count
        self._later = later
        self._clock = clock
        self._now = now
        self._totals: LRUCache[bytes, _Total] = LRUCache(_CAPACITY)
        self._lock = threading.Lock()

    def total(self, timeless: Mapping[str, Any], between: Between = Between()) -> int:  # noqa: B008 - a value
        """How many documents match now.

        Args:
            timeless: a filter without bounds of created_at.
            between: those bounds.

        Raises:
            DeadlineExceeded, Unavailable: the database.
        """
        matching = _Matching(timeless, between)
        key = bson.encode({"filter": timeless, "since": between.since, "before": between.before})
        with self._lock:
            known = self._totals.get(key)
        if known is None:
            known = self._count_older(key, matching)
        elif known.took < CHEAP:
            return self._count_all(key, matching)
        elif self._clock() - known.counted_at > known.took * SHARE:
            self._count_again(known, key, matching)
        return self._up_to_now(known, matching)

    def _count_all(self, key: bytes, matching: _Matching) -> int:
        started = self._clock()
        everything = self._count(matching.until(None))
        took = self._clock() - started
        with self._lock:
            if took >= CHEAP:
                self._totals.pop(key, None)  # next time with a mark
        return everything

    def _count_older(self, key: bytes, matching: _Matching) -> _Total:
        mark, started = self._now() - ON_THEIR_WAY, self._clock()
        older = self._count(matching.until(mark))
        total = _Total(older, mark, started, self._clock() - started)
        with self._lock:
            self._totals[key] = total
        return total

    def _count_again(self, known: _Total, key: bytes, matching: _Matching) -> None:
        with self._lock:
            if known.counting:
                return
            known.counting = True

        def task() -> None:
            try:
                self._count_older(key, matching)
            except EventServiceError as error:
                _log.warning("events could not be counted again: %s", error)
                known.counted_at, known.counting = self._clock(), False

        self._later(task)

    def _up_to_now(self, known: _Total, matching: _Matching) -> int:
        with self._lock:
            older, mark = known.older, known.mark
        newer = self._count(matching.since(mark))
        if newer > _MANY:
            self._move_mark(known, mark, matching)
        return older + newer

    def _move_mark(self, known: _Total, mark: datetime, matching: _Matching) -> None:
        """Counts what has become old enough in the meantime to the older ones."""
        further = self._now() - ON_THEIR_WAY
        if further <= mark:
            return
        passed = self._count(matching.since(mark, further))
        with self._lock:
            if known.mark == mark:
                known.older, known.mark = known.older + passed, further
