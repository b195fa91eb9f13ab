"""Reads events oldest first, page after page, each page by a query of its own that begins behind the last event.

Nothing is held between two pages, in the database or here: who reads slowly, or leaves, costs nothing. MongoDB serves a
page from an index that ends in (created_at, _id). The embedded database sorts whatever matches, so there a page is
looked for in a narrow window of time, and in wider ones where there is little; so it is on MongoDB once a page took too
long, which happens where few of very many events match. A window that takes too long is tried narrower.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from pymongo.collection import Collection

from event_service.errors import DeadlineExceeded
from event_service.model.scope import Scope
from event_service.query.filter import Where
from event_service.store.compile import MONGODB, Dialect, both, compile_filter, compile_scope
from event_service.store.documents import WIRE, document_wire
from event_service.store.failures import database_errors
from event_service.store.time_windows import bounds
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
        windowed: pages are looked for in windows of time.
        searched_to: the end of the windows that hold nothing more.
        width: of the next window.
    """

    created_at: datetime | None = None
    event_id: str = ""
    row_id: Any = None
    windowed: bool = False
    searched_to: datetime | None = None
    width: timedelta = field(default=_FIRST_WINDOW)

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
        dialect: what is particular about the server.
        page_rows, page_bytes: where a page ends.
    """

    def __init__(
        self,
        collection: Collection[dict[str, Any]],
        *,
        max_time_ms: int = 10_000,
        dialect: Dialect = MONGODB,
        page_rows: int = PAGE_ROWS,
        page_bytes: int = PAGE_BYTES,
    ) -> None:
        self._collection = collection
        self._max_time_ms = max_time_ms
        self._dialect = dialect
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
        matching = compile_filter(scope, where, self._dialect)
        position.windowed = position.windowed or self._dialect.embedded
        while True:
            try:
                with database_errors():
                    documents = self._next(scope, matching, where, position)
                    rows = self._wires(documents)
            except DeadlineExceeded:
                if position.windowed and position.width <= _NARROWEST:
                    raise
                position.width = max(position.width / _WIDER, _NARROWEST) if position.windowed else position.width
                position.windowed = True
                continue
            if documents:
                last = documents[-1]
                position.created_at, position.event_id, position.row_id = _aware(last), last["event_id"], last["_id"]
            if rows or not documents:
                return rows

    def _next(
        self, scope: Scope, matching: Mapping[str, Any], where: Where, position: Position
    ) -> list[dict[str, Any]]:
        if not position.windowed:
            lowest = {"$gte": position.created_at or _EARLIEST}
            return self._read(both(matching, {"created_at": lowest}, *_behind(position)))[0]
        _, highest = bounds(where)
        start = position.searched_to or position.created_at or self._earliest(scope, matching, where)
        while start is not None and (highest is None or start <= highest):
            end = start + position.width if start < datetime.now(UTC) + _AHEAD else None
            window = {"$gte": start} if end is None else {"$gte": start, "$lt": end}
            documents, whole = self._read(both(matching, {"created_at": window}, *_behind(position)))
            # A window that was not read to its end is gone on with, by a narrower one; one without an end is the last.
            if whole:
                position.searched_to = end or (_aware(documents[-1]) if documents else start)
                position.width = min(position.width * _WIDER, _WIDEST)
            else:
                position.searched_to = None
                position.width = max((_aware(documents[-1]) - start) * 2, _NARROWEST)
            if documents or end is None:
                return documents
            start = end
        return []

    def _earliest(self, scope: Scope, matching: Mapping[str, Any], where: Where) -> datetime | None:
        """When the first event that matches was created, or a bound below; None where nothing matches."""
        lowest, _ = bounds(where)
        if lowest > _EARLIEST:
            return lowest
        if not self._dialect.embedded:
            dated = both(compile_scope(scope), {"created_at": {"$gte": _EARLIEST}})
            oldest = self._collection.find_one(dated, {"created_at": 1}, sort=_ORDER, max_time_ms=self._max_time_ms)
            return None if oldest is None else _aware(oldest)
        first = {"$group": {"_id": None, "first": {"$min": "$created_at"}}}
        stages: list[Mapping[str, Any]] = [{"$match": matching}, first]
        found = next(iter(self._collection.aggregate(stages, maxTimeMS=self._max_time_ms)), None)
        return None if found is None or found["first"] is None else _aware(found, "first")

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
        for chunk in _chunks(document["_id"] for document in documents if WIRE not in document):
            again = self._collection.find({"_id": {"$in": chunk}}, max_time_ms=self._max_time_ms)
            whole.update((document["_id"], document) for document in again)
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


def _aware(document: Mapping[str, Any], name: str = "created_at") -> datetime:
    moment: datetime = document[name]
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _chunks(items: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(items, _BATCH_ROWS)):
        yield chunk
