"""How many events a list is about, by the cheapest way that is exact: remembered, from counted hours, or counted."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.collection import Collection

from event_service.model.scope import Scope
from event_service.query.list_query import ListQuery
from event_service.query.time_range import timeless
from event_service.store.compile import compile_filter
from event_service.store.compile_list import compile_list_matches
from event_service.store.compile_stat import compile_count
from event_service.store.failures import database_errors
from event_service.store.totals.count_cache import CountCache
from event_service.store.totals.tallies import Place, Tallies
from event_service.store.totals.tally_keeping import COLLECTION, Keeper
from event_service.store.totals.tally_questions import question_of

_CHEAP = 0.05
"""Seconds: the events of a domain that took longer to count are counted ahead, by the hour."""


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
        self.tallies = Tallies(Keeper(collection, collection.database[COLLECTION]), self.count)

    def changed(self) -> None:
        """Events were stored or deleted."""
        self._counts.changed()

    def close(self) -> None:
        """Ends what goes on in the background."""
        self.tallies.close()

    def total(self, scope: Scope, query: ListQuery, matching: Mapping[str, Any]) -> int:
        """How many rows the list has on all its pages; at most a second old.

        Args:
            matching: what the list is about, as a filter.

        Raises:
            DeadlineExceeded, Unavailable: the database.
        """
        stages = [{"$match": matching}, *compile_list_matches(query)]
        return self._counts.get(stages, lambda: self._count_now(scope, query, stages))

    def place(self, scope: Scope, query: ListQuery, skip: int) -> Place | None:
        """Where the row is that `skip` newer ones come before, if that can be found by counted hours.

        Raises:
            DeadlineExceeded, Unavailable: the database.
        """
        question = question_of(scope, query.where)
        if question is None:
            return None
        return self.tallies.place(question, self.timeless(scope, query), skip)

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
        if question := question_of(scope, query.where):
            known = self.tallies.total(question, self.timeless(scope, query))
            if known is not None:
                return known
        started = time.monotonic()
        try:
            return self.count(stages[0]["$match"])
        finally:  # also where it took too long
            if time.monotonic() - started > _CHEAP:
                self.tallies.want(scope.domain_id)

    def _count_rows(self, stages: Sequence[dict[str, Any]]) -> int:
        rows = self._collection.aggregate(compile_count(stages), maxTimeMS=self._max_time_ms, allowDiskUse=True)
        return next((int(row["f0"]) for row in rows), 0)
