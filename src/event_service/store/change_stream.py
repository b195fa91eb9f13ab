"""Notifies of writes by any replica, from MongoDB's change stream.

Of inserted documents only two fields are read: the subscriber runs a query, which applies scope and filter.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias

from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from event_service.concurrency.background_task import BackgroundTask, Stopping
from event_service.errors import EventServiceError, Unavailable
from event_service.store.client import Document
from event_service.store.driver_errors import database_errors

_log = logging.getLogger(__name__)

_MAX_AWAIT_TIME_MS = 1000  # stopping takes this long at most


# Unauthorized; change streams need a replica set; unknown pipeline stage.
_UNAVAILABLE = {13, 40573, 40324}


class InsertedEvent(NamedTuple):
    """An event that has become readable.

    Attributes:
        created_at: timezone-aware UTC.
    """

    event_id: str
    created_at: datetime


OnChange: TypeAlias = Callable[[InsertedEvent | None], None]


class ChangeStream:
    """Follows the writes to a collection in a background thread until it is stopped.

    Args:
        on_change: called in that thread after each write, with the event if one was inserted, and with None when `live`
            changes.
        operations: the kinds of writes to follow.
    """

    def __init__(
        self, collection: Collection[Document], on_change: OnChange, *, operations: Sequence[str] = ("insert",)
    ) -> None:
        self._collection = collection
        self._pipeline: list[Document] = [
            {"$match": {"operationType": {"$in": list(operations)}}},
            {"$project": {"fullDocument.event_id": True, "fullDocument.created_at": True}},
        ]
        self._on_change = on_change
        self._live = False
        self._task = BackgroundTask("change-stream", self._follow)

    @property
    def live(self) -> bool:
        """Return whether every write calls `on_change`. If not, poll."""
        return self._live

    def stop(self) -> None:
        """Stop following; takes up to a second and does not wait for it."""
        self._task.stop()

    def _follow(self, stopping: Stopping) -> None:
        try:
            with (
                database_errors(),
                self._collection.watch(self._pipeline, max_await_time_ms=_MAX_AWAIT_TIME_MS) as stream,
            ):
                self._live = True
                self._on_change(None)  # writes before the stream was open have called nothing
                while stream.alive and not stopping():
                    if (change := stream.try_next()) is not None:
                        self._on_change(_inserted(change.get("fullDocument", {})))
                if not stopping():
                    raise Unavailable("The change stream ended: the collection was dropped or renamed.")
        except EventServiceError as error:
            if not (isinstance(error.__cause__, OperationFailure) and error.__cause__.code in _UNAVAILABLE):
                raise
            _log.debug("change streams are unavailable; polling instead: %s", error.__cause__)
        finally:
            if self._live:  # the subscriber begins to poll
                self._live = False
                self._on_change(None)


def _inserted(document: Document) -> InsertedEvent | None:
    event_id, created_at = document.get("event_id"), document.get("created_at")
    if isinstance(event_id, str) and isinstance(created_at, datetime):
        return InsertedEvent(event_id, created_at)
    return None
