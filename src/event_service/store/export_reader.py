"""Reads events oldest first by keyset pagination on (created_at, _id).

No cursor is open between two pages, so slow readers cost nothing. If few of very many events match, a page may exceed
maxTimeMS: from then on pages are read in time windows, which shrink after a timeout and grow while they hold little.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.collection import Collection
from pymongo.errors import NetworkTimeout

from event_service.errors import QueryTimeout
from event_service.model.scope import Scope
from event_service.query.filter import Where, time_range
from event_service.store.compile import both, compile_filter, compile_scope, compile_times
from event_service.store.documents import WIRE, read_wires
from event_service.store.driver_errors import database_errors
from event_service.wire.timestamps import Clock, format_timestamp, utc_now

PAGE_ROWS = 500
PAGE_BYTES = 1024 * 1024
"""A page ends after the event that reaches this size, and before one that would double it: by default gRPC clients
accept messages of 4 MiB."""

_BATCH_ROWS = 100
_ORDER = [("created_at", 1), ("_id", 1)]
_SHOWN = {WIRE: 1, "created_at": 1, "event_id": 1}
_FIRST_WINDOW = timedelta(hours=1)
_WINDOW_FACTOR = 8
_MIN_WINDOW = timedelta(seconds=1)
_MAX_WINDOW = timedelta(days=3000)
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_CLOCK_SKEW = timedelta(days=1)  # windows that begin later have no end, so that every event is found


@dataclass(slots=True)
class Position:
    """The position of an export.

    Attributes:
        created_at: of the last event read, aware UTC; None at the beginning.
        event_id: of that event.
        row_id: its `_id`; None if it was deleted: then all events of its millisecond are read again.
        width: of the next time window; None until a page exceeds maxTimeMS.
        searched_to: end of the empty windows after the last event.
    """

    created_at: datetime | None = None
    event_id: str = ""
    row_id: Any = None
    width: timedelta | None = None
    searched_to: datetime | None = None

    @property
    def token(self) -> str:
        """Return the resume token: `CREATED_AT/EVENT_ID` of the last event read; "" at the beginning."""
        return "" if self.created_at is None else f"{format_timestamp(self.created_at)}/{self.event_id}"


class ExportReader:
    """Events of one collection, always within a scope. Blocking: for worker threads.

    Events without created_at are skipped; neither this service nor upstream stores any.

    Args:
        collection: the `event` collection.
        max_time_ms: maxTimeMS of a page.
        page_rows, page_bytes: maximum size of a page.
    """

    def __init__(
        self,
        collection: Collection[dict[str, Any]],
        *,
        max_time_ms: int = 10_000,
        page_rows: int = PAGE_ROWS,
        page_bytes: int = PAGE_BYTES,
        clock: Clock = utc_now,
    ) -> None:
        self._collection = collection
        self._max_time_ms = max_time_ms
        self._page_rows = page_rows
        self._page_bytes = page_bytes
        self._clock = clock

    def position_of(self, scope: Scope, created_at: datetime, event_id: str) -> Position:
        """Return the position after an event, or at its millisecond if the scope has no such event.

        Raises:
            Unavailable: the database failed.
        """
        matching = both(compile_scope(scope), {"event_id": event_id})
        with database_errors():
            found = self._collection.find_one(matching, {"created_at": 1}, max_time_ms=self._max_time_ms)
        if found is None or found.get("created_at") != created_at:
            return Position(created_at)
        return Position(created_at, event_id, found["_id"])

    def page(self, scope: Scope, where: Where, position: Position) -> list[bytes]:
        """Return the next events as serialised EventInfo, [] after the last, and advance `position`.

        Raises:
            QueryError: the data does not suit the query.
            QueryTimeout, Unavailable: the database failed.
        """
        matching = compile_filter(scope, where)
        while True:
            try:
                with database_errors(querying=True):
                    documents = self._next(scope, matching, where, position)
                    rows = [wire for _, wire in read_wires(self._collection, documents, self._max_time_ms)]
            except QueryTimeout as error:
                # After a network timeout the server does not answer at all: a narrower window would time out too.
                if position.width == _MIN_WINDOW or isinstance(error.__cause__, NetworkTimeout):
                    raise
                position.width = max(position.width / _WINDOW_FACTOR, _MIN_WINDOW) if position.width else _FIRST_WINDOW
                continue
            if documents:
                last = documents[-1]
                position.created_at, position.event_id, position.row_id = _aware(last), last["event_id"], last["_id"]
            if rows or not documents:
                return rows

    def _next(
        self, scope: Scope, matching: Mapping[str, Any], where: Where, position: Position
    ) -> list[dict[str, Any]]:
        if position.width is None:
            lowest = {"$gte": position.created_at or _EARLIEST}
            return self._read(both(matching, {"created_at": lowest}, *_after(position)))[0]
        times = time_range(where)
        start = position.searched_to or position.created_at or times.since or self._oldest(scope)
        while start is not None and (times.before is None or start < times.before):
            end = start + position.width if start < self._clock() + _CLOCK_SKEW else None
            documents, whole = self._read(both(matching, compile_times(start, end), *_after(position)))
            if whole:
                position.width = min(position.width * _WINDOW_FACTOR, _MAX_WINDOW)
            position.searched_to = None if documents else end
            if documents:
                return documents
            start = end
        return []

    def _oldest(self, scope: Scope) -> datetime | None:
        """Return the created_at of the scope's oldest event, or None for no event."""
        dated = both(compile_scope(scope), {"created_at": {"$gte": _EARLIEST}})
        oldest = self._collection.find_one(dated, {"created_at": 1}, sort=_ORDER, max_time_ms=self._max_time_ms)
        return None if oldest is None else _aware(oldest)

    def _read(self, matching: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool]:
        """Return the first documents, up to a page, and whether these are all that match."""
        documents: list[dict[str, Any]] = []
        size = 0
        with self._collection.find(
            matching,
            _SHOWN,
            sort=_ORDER,
            limit=self._page_rows,
            batch_size=_BATCH_ROWS,
            max_time_ms=self._max_time_ms,
        ) as cursor:
            for document in cursor:
                size += len(document.get(WIRE, b""))
                if documents and size > 2 * self._page_bytes:
                    return documents, False  # a large event begins the next page
                documents.append(document)
                if size >= self._page_bytes:
                    return documents, False
        return documents, len(documents) < self._page_rows


def _after(position: Position) -> list[dict[str, Any]]:
    """Return the filter that excludes events read before; the caller adds the lower bound of created_at for the index.

    A `$nor`, since for an `$or` the planner may read two index ranges and sort them.
    """
    if position.created_at is None or position.row_id is None:
        return []
    return [{"$nor": [{"created_at": position.created_at, "_id": {"$lte": position.row_id}}]}]


def _aware(document: Mapping[str, Any]) -> datetime:
    moment: datetime = document["created_at"]
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
