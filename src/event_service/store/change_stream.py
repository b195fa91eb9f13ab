"""Tells that events were stored, by whichever replica, from the database's change stream.

What was stored is not looked at: the reader asks by a query, which knows about scopes and filters.
"""

import logging
from collections.abc import Callable

from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from event_service.concurrency.background_task import BackgroundTask, Stopping
from event_service.errors import EventServiceError, Unavailable
from event_service.store.client import Document
from event_service.store.driver_errors import database_errors

_log = logging.getLogger(__name__)

_PIPELINE: list[Document] = [{"$match": {"operationType": "insert"}}, {"$project": {"operationType": True}}]
_LONGEST_WAIT_MS = 1000  # of the server for news; a feed that was stopped ends by then


class ChangeStream:
    """Follows the inserts into a collection, in a thread of its own, until it is stopped.

    Args:
        on_change: called in that thread after each insert, when the feed begins to be live, and when it is not any more.
    """

    def __init__(self, events: Collection[Document], on_change: Callable[[], None]) -> None:
        self._events = events
        self._on_change = on_change
        self._live = False
        self._following = BackgroundTask("change-feed", self._follow)

    @property
    def live(self) -> bool:
        """Whether every insert is on_change of. Where it is not, one has to look for oneself."""
        return self._live

    def stop(self) -> None:
        """Ends it, within a second."""
        self._following.stop()

    def _follow(self, stopping: Stopping) -> None:
        try:
            with database_errors(), self._events.watch(_PIPELINE, max_await_time_ms=_LONGEST_WAIT_MS) as stream:
                self._live = True
                self._on_change()  # what was stored before the stream was open has not been on_change of
                while stream.alive and not stopping():
                    if stream.try_next() is not None:
                        self._on_change()
                if not stopping():
                    raise Unavailable("The collection was dropped or renamed, which ends its change stream.")
        except EventServiceError as error:
            if not isinstance(error.__cause__, OperationFailure):
                raise
            # The server has no change streams, or we may not read them.
            _log.debug("no change stream; the database is asked again and again instead: %s", error.__cause__)
        finally:
            if self._live:
                self._live = False
                self._on_change()
