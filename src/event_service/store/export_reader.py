"""Reads events oldest first, page after page, each page by a query of its own that begins behind the last event.

Nothing is held between two pages, in the database or here: who reads slowly, or leaves, costs nothing. A page is read
from an index that ends in (created_at, _id). Where few of very many events match, that may exceed the time limit of a
query: from then on a page is looked for in windows of time, narrower while they take too long and wider while there is
little in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.collection import Collection
from pymongo.errors import NetworkTimeout

from event_service.errors import DeadlineExceeded
from event_service.model.scope import Scope
from event_service.query.filter import Where, time_range
from event_service.store.compile import both, compile_filter, compile_scope, compile_times
from event_service.store.documents import WIRE, document_wire
from event_service.store.driver_errors import database_errors
from event_service.wire.timestamps import format_timestamp

PAGE_ROWS = 500
PAGE_BYTES = 1024 * 1024
"""A page ends behind the event that reaches this, and before one that would make it twice as large: gRPC's clients take
4 MiB unless they are told otherwise."""

_BATCH_ROWS = 100
_ORDER = [("created_at", 1), ("_id", 1)]
_SHOWN = {WIRE: 1, "created_at": 1, "event_id": 1}
_FIRST_WINDOW = timedelta(hours=1)
_WIDER = 8
_NARROWEST = timedelta(seconds=1)
_WIDEST = timedelta(days=3000)
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)
"""Clocks run ahead by less than that; later events are found all the same, by a query without an end."""


@dataclass(slots=True)
class Position:
    """Where an export is.

    Attributes:
        created_at: of the last event that was read, aware UTC; None at the beginning.
        event_id: of that event.
        row_id: its `_id`; None where it is gone, which leaves all of its millisecond still to be read.
        width: of the next window of time; None while no page took too long.
        searched_to: the end of the windows that held nothing.
    """

    created_at: datetime | None = None
    event_id: str = ""
    row_id: Any = None
    width: timedelta | None = None
    searched_to: datetime | None = None

    @property
    def token(self) -> str:
        """`CREATED_AT/EVENT_ID` of the last event that was read; "" at the beginning."""
        return "" if self.created_at is None else f"{format_timestamp(self.created_at)}/{self.event_id}"


class ExportReader:
    """Events of one collection, always within a scope. Blocking: for worker threads.

    Events without created_at are not found; neither this service nor upstream's stores any.

    Args:
        collection: the `event` collection.
        max_time_ms: after this the server gives a page up.
        page_rows, page_bytes: where a page ends.
    """

    def __init__(
        self,
        collection: Collection[dict[str, Any]],
        *,
        max_time_ms: int = 10_000,
        page_rows: int = PAGE_ROWS,
        page_bytes: int = PAGE_BYTES,
    ) -> None:
        self._collection = collection
        self._max_time_ms = max_time_ms
        self._page_rows = page_rows
        self._page_bytes = page_bytes

    def position_of(self, scope: Scope, created_at: datetime, event_id: str) -> Position:
        """Behind an event of this scope, or at the begin of its millisecond where there is no such event.

        Raises:
            DeadlineExceeded, Unavailable: the database.
        """
        wanted = both(compile_scope(scope), {"event_id": event_id})
        with database_errors():
            found = self._collection.find_one(wanted, {"created_at": 1}, max_time_ms=self._max_time_ms)
        if found is None or found.get("created_at") != created_at:
            return Position(created_at)
        return Position(created_at, event_id, found["_id"])

    def page(self, scope: Scope, where: Where, position: Position) -> list[bytes]:
        """The next events behind `position`, which moves on, as EventInfo bytes; [] behind the last.

        Raises:
            QueryError: the data does not allow the query.
            DeadlineExceeded, Unavailable: the database.
        """
        matching = compile_filter(scope, where)
        while True:
            try:
                with database_errors(querying=True):
                    documents = self._next(scope, matching, where, position)
                    rows = self._wires(documents)
            except DeadlineExceeded as error:
                # Without a reply, not even the server's refusal, a narrower window would be waited for as long.
                if position.width == _NARROWEST or isinstance(error.__cause__, NetworkTimeout):
                    raise
                position.width = max(position.width / _WIDER, _NARROWEST) if position.width else _FIRST_WINDOW
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
            return self._read(both(matching, {"created_at": lowest}, *_behind(position)))[0]
        times = time_range(where)
        start = position.searched_to or position.created_at or times.since or self._oldest(scope)
        while start is not None and (times.before is None or start < times.before):
            end = start + position.width if start < datetime.now(UTC) + _AHEAD else None
            documents, whole = self._read(both(matching, compile_times(start, end), *_behind(position)))
            if whole:
                position.width = min(position.width * _WIDER, _WIDEST)
            position.searched_to = None if documents else end
            if documents:
                return documents
            start = end
        return []

    def _oldest(self, scope: Scope) -> datetime | None:
        """Return when the scope's first event was created; None where there is none."""
        dated = both(compile_scope(scope), {"created_at": {"$gte": _EARLIEST}})
        oldest = self._collection.find_one(dated, {"created_at": 1}, sort=_ORDER, max_time_ms=self._max_time_ms)
        return None if oldest is None else _aware(oldest)

    def _read(self, matching: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool]:
        """The first documents in order, as many as a page may have, and whether these are all. The cursor is closed."""
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
                    return documents, False  # a large one is the next page's
                documents.append(document)
                if size >= self._page_bytes:
                    return documents, False
        return documents, len(documents) < self._page_rows

    def _wires(self, documents: list[dict[str, Any]]) -> list[bytes]:
        """The stored bytes; documents of an upstream database, which have none, are read once more."""
        whole: dict[Any, Mapping[str, Any]] = {}
        if lacking := [document["_id"] for document in documents if WIRE not in document]:
            again = self._collection.find({"_id": {"$in": lacking}}, max_time_ms=self._max_time_ms)
            whole = {document["_id"]: document for document in again}
        # One that was deleted between the two looks is left out.
        found = (whole.get(document["_id"]) if WIRE not in document else document for document in documents)
        return [document_wire(document) for document in found if document is not None]


def _behind(position: Position) -> list[dict[str, Any]]:
    """The clauses that leave out what was read before.

    Beside them stands created_at's lower bound, which is for the index. A $nor, since an $or could tempt a planner to
    read two ranges and sort them.
    """
    if position.created_at is None or position.row_id is None:
        return []
    return [{"$nor": [{"created_at": position.created_at, "_id": {"$lte": position.row_id}}]}]


def _aware(document: Mapping[str, Any]) -> datetime:
    moment: datetime = document["created_at"]
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
