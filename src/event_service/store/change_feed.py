"""Tells that events were stored, by whichever replica, where the database has change streams.

That is on replica sets and sharded clusters; a single server, and the embedded database, refuse them. What was stored
is not looked at: whoever is told asks by a query, which knows about scopes and filters.
"""

import logging
import threading
from collections.abc import Callable

from pymongo.collection import Collection
from pymongo.errors import OperationFailure, PyMongoError

from event_service.store.client import Document

_log = logging.getLogger(__name__)

_PIPELINE: list[Document] = [{"$match": {"operationType": "insert"}}, {"$project": {"operationType": True}}]
_LONGEST_WAIT_MS = 1000  # of the server for news; a feed that was stopped ends by then
_RETRY_SECONDS = 5.0


class ChangeFeed:
    """Follows the inserts into a collection, in a thread of its own, until it is stopped.

    Args:
        told: called in that thread after each insert, when the feed begins to be live, and when it is not any more.
    """

    def __init__(self, events: Collection[Document], told: Callable[[], None]) -> None:
        self._events = events
        self._told = told
        self._live = False
        self._stopping = threading.Event()
        threading.Thread(target=self._run, name="change-feed", daemon=True).start()

    @property
    def live(self) -> bool:
        """Whether every insert is told of. Where it is not, one has to look for oneself."""
        return self._live

    def stop(self) -> None:
        """Ends it, within a second."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except OperationFailure as error:  # the server has no change streams, or we may not read them
                _log.debug("no change stream; the database is asked again and again instead: %s", error)
                return
            except PyMongoError as error:
                _log.info("the change stream has ended; it is opened again", extra={"reason": str(error)})
                self._stopping.wait(_RETRY_SECONDS)
            finally:
                if self._live:
                    self._live = False
                    self._told()

    def _follow(self) -> None:
        with self._events.watch(_PIPELINE, max_await_time_ms=_LONGEST_WAIT_MS) as stream:
            self._live = True
            self._told()  # what was stored before the stream was open has not been told of
            while not self._stopping.is_set():
                if stream.try_next() is not None:
                    self._told()
