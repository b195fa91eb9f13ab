"""Counts, remembered for a second: `total_count` may be that old."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bson
from cachetools import LRUCache

MAX_AGE = 1.0  # seconds
_CHEAP = 0.05  # seconds: a count that takes longer is not asked for again just because something was stored
_CAPACITY = 1024


class CountCache:
    """Remembers how many documents match, by filter.

    Safe for many threads. Several of them that find nothing remembered count on their own: nobody waits for another.

    Args:
        max_age: how long a count holds, in seconds from when it was asked for.
        clock: monotonic seconds.
    """

    def __init__(self, max_age: float = MAX_AGE, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age = max_age
        self._clock = clock
        self._counts: LRUCache[bytes, tuple[float, float, int]] = LRUCache(_CAPACITY)
        self._lock = threading.Lock()
        self._changed = float("-inf")

    def get(self, stages: Sequence[Mapping[str, Any]], count: Callable[[], int]) -> int:
        """The count for these stages, remembered or counted now."""
        key = bson.encode({"stages": stages})
        started = self._clock()
        with self._lock:
            known = self._counts.get(key)
            if known and self._holds(*known[:2]):
                return known[2]
        counted = count()
        with self._lock:
            self._counts[key] = (started, self._clock() - started, counted)
        return counted

    def changed(self) -> None:
        """Something was stored or deleted: cheap counts are made anew, so that a writer sees its own write."""
        self._changed = self._clock()

    def _holds(self, started: float, took: float) -> bool:
        if self._clock() - started >= self._max_age:
            return False
        return took > _CHEAP or started > self._changed
