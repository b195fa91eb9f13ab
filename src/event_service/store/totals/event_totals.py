"""The total_count of a list, by the cheapest exact way: cached, from rollups, or counted."""

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
from event_service.store.lease import Leases
from event_service.store.totals.rollup_query import rollup_query_of
from event_service.store.totals.rollup_store import COLLECTION, RollupStore
from event_service.store.totals.rollups import Rollups, SeekPosition
from event_service.wire.timestamps import Clock, utc_now

MAX_AGE = 1.0
"""Maximum age of a cached total_count, in seconds."""

_CHEAP = 0.05
"""Seconds. A slower count stays cached across writes, and makes the service build the domain's rollup."""

_CAPACITY = 1024

_FEW_VALUES = frozenset({"severity", "event_type", "provider"})
"""Dimensions by which no index begins."""


class CountCache:
    """Cache of counts by pipeline.

    Safe for many threads. Concurrent misses count independently: none of them waits for another.

    Args:
        max_age: seconds, from the start of the count.
        clock: monotonic seconds.
    """

    def __init__(self, max_age: float = MAX_AGE, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age = max_age
        self._clock = clock
        self._counts: LRUCache[bytes, tuple[float, float, int]] = LRUCache(_CAPACITY)
        self._lock = threading.Lock()
        self._changed = float("-inf")

    def get(self, stages: Sequence[Mapping[str, Any]], count: Callable[[], int]) -> int:
        """Return the count for these stages, cached or counted now."""
        key = bson.encode({"stages": stages})
        started = self._clock()
        with self._lock:
            cached = self._counts.get(key)
            if cached and self._is_fresh(*cached[:2]):
                return cached[2]
        counted = count()
        with self._lock:
            self._counts[key] = (started, self._clock() - started, counted)
        return counted

    def changed(self) -> None:
        """Invalidate cheap counts, so that a writer sees its own write."""
        self._changed = self._clock()

    def _is_fresh(self, started: float, took: float) -> bool:
        if self._clock() - started >= self._max_age:
            return False
        return took > _CHEAP or started > self._changed


class EventTotals:
    """Counts events. Blocking: for worker threads.

    Args:
        collection: the `event` collection.
        max_time_ms: maxTimeMS of a count.
    """

    def __init__(self, collection: Collection[dict[str, Any]], *, max_time_ms: int, clock: Clock = utc_now) -> None:
        self._collection = collection
        self._max_time_ms = max_time_ms
        self._counts = CountCache()
        self._leases = Leases(collection.database)
        self.rollups = Rollups(
            RollupStore(collection, collection.database[COLLECTION]),
            self.count,
            now=clock,
            may_refresh=lambda domain_id: self._leases.acquire(f"rollup of {domain_id}"),
        )

    def changed(self) -> None:
        """Invalidate cheap cached counts. Call after events were stored or deleted."""
        self._counts.changed()

    def close(self) -> None:
        """Stop refreshing rollups in the background."""
        self.rollups.close()
        self._leases.release()

    def total(self, scope: Scope, query: ListQuery, matching: Mapping[str, Any]) -> int:
        """Return the number of rows on all pages of a list; at most MAX_AGE old.

        Args:
            matching: the query's filter, scope included.

        Raises:
            QueryTimeout, Unavailable: the database failed.
        """
        stages: list[dict[str, Any]] = [{"$match": matching}]
        if query.unwind:
            stages += compile_unwind(query.unwind)
        return self._counts.get(stages, lambda: self._count_now(scope, query, stages))

    def is_empty(self, scope: Scope, query: ListQuery) -> bool:
        """Return True if rollups tell that no event matches a filter which no index selects by.

        Such a page would read the whole index of the domain in vain.

        Raises:
            QueryTimeout, Unavailable: the database failed.
        """
        rollup_query = rollup_query_of(scope, query.where)
        if rollup_query is None or not any(name in _FEW_VALUES for name, _ in rollup_query.allowed):
            return False
        return self.rollups.matches_nothing(rollup_query, self.timeless(scope, query))

    def seek(self, scope: Scope, query: ListQuery, skip: int) -> SeekPosition | None:
        """Return the position of the row that `skip` newer rows precede, or None if rollups cannot say.

        Raises:
            QueryTimeout, Unavailable: the database failed.
        """
        rollup_query = rollup_query_of(scope, query.where)
        if rollup_query is None:
            return None
        return self.rollups.seek(rollup_query, self.timeless(scope, query), skip)

    def timeless(self, scope: Scope, query: ListQuery) -> dict[str, Any]:
        """Return the query's filter without its bounds of created_at."""
        return compile_filter(scope, timeless(query.where))

    def count(self, matching: Mapping[str, Any]) -> int:
        """Count events now, without cache and rollups.

        Raises:
            QueryTimeout, Unavailable: the database failed.
        """
        with database_errors(querying=True):
            return self._collection.count_documents(matching, maxTimeMS=self._max_time_ms)

    def _count_now(self, scope: Scope, query: ListQuery, stages: Sequence[dict[str, Any]]) -> int:
        if len(stages) > 1:  # $unwind: rows are not events
            return self._count_rows(stages)
        if rollup_query := rollup_query_of(scope, query.where):
            total = self.rollups.total(rollup_query, self.timeless(scope, query))
            if total is not None:
                return total
        started = time.monotonic()
        try:
            return self.count(stages[0]["$match"])
        finally:  # also after a timeout
            if time.monotonic() - started > _CHEAP:
                self.rollups.request(scope.domain_id)

    def _count_rows(self, stages: Sequence[dict[str, Any]]) -> int:
        rows = self._collection.aggregate(compile_count(stages), maxTimeMS=self._max_time_ms, allowDiskUse=True)
        return next((int(row["f0"]) for row in rows), 0)
