"""Reads events: get, list and stat.

A full row is the stored reply: the query projects `wire` only, and nothing is decoded. Rows with selected fields are
encoded.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from pymongo.collection import Collection

from event_service.concurrency.batched_lookup import BatchedLookup
from event_service.concurrency.thread_pool import ThreadPool
from event_service.model.scope import Scope
from event_service.query.fields import EVENT_FIELDS, SortKey
from event_service.query.filter import TimeRange, time_range
from event_service.query.list_query import ListQuery
from event_service.query.stat_query import StatQuery
from event_service.store import raw_batches
from event_service.store.client import caller_query
from event_service.store.compile import (
    both,
    compile_filter,
    compile_projection,
    compile_scope,
    compile_sort,
    compile_times,
)
from event_service.store.compile_list import compile_list_rows
from event_service.store.documents import WIRE, read_wires
from event_service.store.driver_errors import database_errors
from event_service.store.projection import RowEncoder
from event_service.store.reply_limit import DEFAULT_LIMIT, ReplyLimit
from event_service.store.stat_reader import StatReader
from event_service.store.totals.event_totals import EventTotals
from event_service.wire.timestamps import Clock, utc_now

T = TypeVar("T")

DEEP = 200
"""Pages that skip at least this many rows are located by rollups."""

_WIRE_ONLY = {WIRE: 1}
_WIRE_AND_ID = {WIRE: 1, "event_id": 1}
_MAX_LIMIT = 2**31 - 1  # of a find
_CHUNK = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of a list.

    Attributes:
        rows: serialised EventInfo messages.
        total_count: number of matches on all pages.
        cut: a limit of the server ended the page, and more rows match.
    """

    rows: Sequence[bytes]
    total_count: int
    cut: bool = False


class EventReader:
    """Events of one collection, always within a scope. Blocking: for worker threads.

    Args:
        collection: the `event` collection.
        max_time_ms: maxTimeMS of a query.
    """

    def __init__(
        self,
        collection: Collection[dict[str, Any]],
        *,
        limit: ReplyLimit = DEFAULT_LIMIT,
        max_time_ms: int = 10_000,
        clock: Clock = utc_now,
    ) -> None:
        self._collection = collection
        self._limit = limit
        self._max_time_ms = max_time_ms
        self._totals = EventTotals(collection, max_time_ms=max_time_ms, clock=clock)
        self._statistics = StatReader(collection, EVENT_FIELDS, max_time_ms=max_time_ms, max_bytes=limit.size)

    def get_many(self, scope: Scope, event_ids: Sequence[str]) -> list[bytes | None]:
        """Return for each event_id the serialised EventInfo, or None if the scope has no such event. One query for all.

        Raises:
            Unavailable: the database failed.
        """
        matching = {"event_id": {"$in": list(set(event_ids))}, **compile_scope(scope)}
        with database_errors():
            documents = self._collection.find(matching, _WIRE_AND_ID, max_time_ms=self._max_time_ms)
            wires = read_wires(self._collection, documents, self._max_time_ms)
        found = {document["event_id"]: wire for document, wire in wires}
        return [found.get(event_id) for event_id in event_ids]

    def get(self, scope: Scope, event_id: str) -> bytes | None:
        """Return one event. See `get_many`."""
        return self.get_many(scope, [event_id])[0]

    def list(self, scope: Scope, query: ListQuery) -> Page:
        """Return a page of events.

        Raises:
            QueryError: the data does not suit the query.
            TooLarge: the page that the caller chose is too large.
            QueryTimeout, Unavailable: the database failed.
        """
        matching = compile_filter(scope, query.where)
        with caller_query(self._max_time_ms):
            if query.count_only:
                return Page([], self._totals.total(scope, query, matching))
            if self._totals.is_empty(scope, query):
                return Page([], 0)
            rows, cut = self._page(scope, matching, query)
            return Page(rows, self._total(scope, matching, query, len(rows), cut), cut)

    def changed(self) -> None:
        """Invalidate cheap cached counts, so that a writer sees its own writes."""
        self._totals.changed()

    def close(self) -> None:
        """Stop refreshing rollups in the background."""
        self._totals.close()

    def stat(self, scope: Scope, query: StatQuery) -> dict[str, Any]:
        """Return the reply to a statistics query, as JSON. See `StatReader.stat`."""
        return self._statistics.stat(scope, query, self._totals.rollups)

    def _page(self, scope: Scope, matching: dict[str, Any], query: ListQuery) -> tuple[Sequence[bytes], bool]:
        limit = query.page.limit
        most = min(limit, _MAX_LIMIT) if limit else self._limit.rows + 1
        return self._limit.page(self._encoded(scope, matching, query, most), limit, len)

    def _total(self, scope: Scope, matching: dict[str, Any], query: ListQuery, rows: int, cut: bool) -> int:
        # A page that has the last match knows the total without a count.
        limit = query.page.limit
        if not cut and (limit is None or rows < limit) and (rows or not query.page.skip):
            return query.page.skip + rows
        return self._totals.total(scope, query, matching)

    def _encoded(self, scope: Scope, matching: dict[str, Any], query: ListQuery, limit: int) -> Iterator[bytes]:
        if query.unwind or query.add_fields:
            stages = [{"$match": matching}, *compile_list_rows(query, EVENT_FIELDS, limit)]
            batches = raw_batches.aggregate(
                self._collection,
                stages,
                max_time_ms=self._max_time_ms,
                batch_rows=min(limit, self._limit.rows + 1),
            )
            return self._partial(batches, query)
        shown = _WIRE_ONLY if query.only is None else compile_projection(query.only)
        deep = query.sort is None and query.page.skip >= DEEP
        found = self._find_deep(scope, query, shown, limit) if deep else None
        if found is None:
            found = self._find(matching, shown, query.sort, query.page.skip, limit)
        return self._whole(found) if query.only is None else self._partial(found, query)

    def _find_deep(self, scope: Scope, query: ListQuery, shown: Mapping[str, Any], limit: int) -> Iterable[Any] | None:
        """Return the result of `_find` for a deep page from the position that rollups give; None if they cannot say."""
        position = self._totals.seek(scope, query, query.page.skip)
        if position is None or position.past_the_end:
            return None if position is None else []
        times = time_range(query.where)
        window = compile_times(times.since, position.before)
        if times == TimeRange():  # events without created_at sort last
            window = {"created_at": {"$not": {"$gte": position.before}}}
        return self._find(both(self._totals.timeless(scope, query), window), shown, None, position.skip, limit)

    def _find(
        self,
        matching: Mapping[str, Any],
        projection: Mapping[str, Any],
        sort: tuple[SortKey, ...] | None,
        skip: int,
        limit: int,
    ) -> Iterable[Any]:
        """Return documents with whole events, or batches of documents with selected fields."""
        find = self._collection.find if projection is _WIRE_ONLY else self._collection.find_raw_batches
        return find(
            matching,
            projection,
            sort=compile_sort(sort, EVENT_FIELDS),
            skip=skip,
            limit=limit,
            batch_size=min(limit, self._limit.rows + 1),
            max_time_ms=self._max_time_ms,
        )

    def _partial(self, batches: Iterable[bytes], query: ListQuery) -> Iterator[bytes]:
        encode = RowEncoder(query.only or (), query.unwind.path if query.unwind else None)
        return (encode(document) for document in raw_batches.rows_of(batches))

    def _whole(self, documents: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
        found = iter(documents)
        while chunk := list(islice(found, _CHUNK)):
            yield from (wire for _, wire in read_wires(self._collection, chunk, self._max_time_ms))


class SharedEventReader:
    """The event reader for an event loop: reads run in worker threads. Raises the errors of `EventReader`.

    Gets that arrive while a look-up is in flight share the next one. Nothing is cached: every reply was read after its
    request arrived. Equal lists and statistics are shared by `concurrency/single_flight.py` before.
    """

    def __init__(self, reader: EventReader, threads: ThreadPool) -> None:
        self._reader = reader
        self._threads = threads
        self._gets: BatchedLookup[Scope, str, bytes | None] = BatchedLookup(
            threads, reader.get_many, lambda scope: scope.domain_id
        )

    def get(self, scope: Scope, event_id: str) -> Awaitable[bytes | None]:
        """Return one event."""
        return self._gets.submit(scope, event_id)

    def list(self, scope: Scope, query: ListQuery) -> Awaitable[Page]:
        """Return a page of events."""
        return self._threads.run_for(scope.domain_id, self._reader.list, scope, query)

    def stat(self, scope: Scope, query: StatQuery, encode: Callable[[dict[str, Any]], T]) -> Awaitable[T]:
        """Return the reply to a statistics query, encoded in the thread."""
        return self._threads.run_for(scope.domain_id, lambda: encode(self._reader.stat(scope, query)))
