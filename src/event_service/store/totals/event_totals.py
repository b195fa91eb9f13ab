"""How many events a list is about, by the cheapest way that is exact: remembered, from counted hours, or counted."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bson
from cachetools import LRUCache
from pymongo.collection import Collection

from event_service.model.scope import Scope
from event_service.query.filter import timeless
from event_service.query.list_query import ListQuery
from event_service.store.compile import compile_filter
from event_service.store.compile_list import compile_unwind
from event_service.store.compile_stat import compile_count
from event_service.store.driver_errors import database_errors
from event_service.store.totals.rollup_query import rollup_query_of
from event_service.store.totals.rollup_store import COLLECTION, RollupStore
from event_service.store.totals.rollups import Rollups, SeekPosition

MAX_AGE = 1.0
"""Seconds: how long a count is remembered; `total_count` may be that old."""

_CHEAP = 0.05
"""Seconds: what takes longer is not counted anew at each write, and the domain's events are counted ahead."""

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


class EventTotals:
    """Counts events. Blocking: for worker threads.

    Args:
        collection: the `event` collection.
        max_time_ms: after this the server gives a count up.
    """

    def __init__(self, collection: Collection[dict[str, Any]], *, max_time_ms: int) -> None:
        self._collection = collection
        self._max_time_ms = max_time_ms
        self._counts = CountCache()
        self.rollups = Rollups(RollupStore(collection, collection.database[COLLECTION]), self.count)

    def changed(self) -> None:
        """Events were stored or deleted."""
        self._counts.changed()

    def close(self) -> None:
        """Ends what goes on in the background."""
        self.rollups.close()

    def total(self, scope: Scope, query: ListQuery, matching: Mapping[str, Any]) -> int:
        """How many rows the list has on all its pages; at most a second old.

        Args:
            matching: what the list is about, as a filter.

        Raises:
            DeadlineExceeded, Unavailable: the database.
        """
        stages: list[dict[str, Any]] = [{"$match": matching}]
        if query.unwind:
            stages += compile_unwind(query.unwind)
        return self._counts.get(stages, lambda: self._count_now(scope, query, stages))

    def seek(self, scope: Scope, query: ListQuery, skip: int) -> SeekPosition | None:
        """Where the row is that `skip` newer ones come before, if that can be found by counted hours.

        Raises:
            DeadlineExceeded, Unavailable: the database.
        """
        question = rollup_query_of(scope, query.where)
        if question is None:
            return None
        return self.rollups.seek(question, self.timeless(scope, query), skip)

    def timeless(self, scope: Scope, query: ListQuery) -> dict[str, Any]:
        """What the list is about, without its times."""
        return compile_filter(scope, timeless(query.where))

    def count(self, matching: Mapping[str, Any]) -> int:
        """Counts events now.

        Raises:
            DeadlineExceeded, Unavailable: the database.
        """
        with database_errors(querying=True):
            return self._collection.count_documents(matching, maxTimeMS=self._max_time_ms)

    def _count_now(self, scope: Scope, query: ListQuery, stages: Sequence[dict[str, Any]]) -> int:
        if len(stages) > 1:
            return self._count_rows(stages)
        if question := rollup_query_of(scope, query.where):
            known = self.rollups.total(question, self.timeless(scope, query))
            if known is not None:
                return known
        started = time.monotonic()
        try:
            return self.count(stages[0]["$match"])
        finally:  # also where it took too long
            if time.monotonic() - started > _CHEAP:
                self.rollups.want(scope.domain_id)

    def _count_rows(self, stages: Sequence[dict[str, Any]]) -> int:
        rows = self._collection.aggregate(compile_count(stages), maxTimeMS=self._max_time_ms, allowDiskUse=True)
        return next((int(row["f0"]) for row in rows), 0)
