"""Deletes events and claims whose time is over, on a database that cannot be trusted to do it itself.

SecantusDB has TTL indexes, with two faults. It deletes by them without letting go: 60,000 events that end in the same
minute keep everybody waiting for longer than a write may take. And its sweeper keeps the view of the database that it
has read with until its next turn, a minute later. What was changed since then cannot leave the cache meanwhile
(WiredTiger's "transaction range of IDs currently pinned" grows from turn to turn, without such an index it stays
level), and each look at a page that has grown too large sleeps for a while: a busy service stood still for a minute.

So the embedded database has no such index. Once a minute this looks for what is over, oldest first, in narrow windows
of the indexed time, and deletes it in small journalled writes with a pause after each that is as long as the write.
Measured: 0.6 to 1.7 ms an event.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING
from pymongo.collection import Collection

from event_service.errors import EventServiceError
from event_service.store.background import connection_was_closed
from event_service.store.client import Database
from event_service.store.documents import EXPIRE_AT
from event_service.store.failures import database_errors
from event_service.wire.timestamps import utc_now

_log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
BATCH = 50
"""Events of one write: some 50 ms."""

_NARROWEST, _WIDEST = timedelta(seconds=1), timedelta(days=1)
_FEW, _MANY = 200, 1000
_OVERLAP = timedelta(minutes=1)
"""Windows begin again a little before the last one's end: an event may have been stored since, late."""


class Expiry:
    """Sweeps in a thread of its own until it is stopped."""

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], datetime] = utc_now,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._collections = [database["event"], database["claim"]]
        self._now = now
        self._every_seconds = every_seconds
        self._swept_until: dict[str, datetime] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to sweep, the first time at once."""
        self._thread = threading.Thread(target=self._run, name="expiry", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends after the write it is at, and does not wait for it."""
        self._stopping.set()

    def sweep(self) -> int:
        """Deletes everything that is over. Returns how many documents that were.

        Raises:
            Unavailable: the database failed. The next sweep goes on from there.
        """
        return sum(self._sweep(collection) for collection in self._collections)

    def _sweep(self, collection: Collection[dict[str, Any]]) -> int:
        now, deleted, width = self._now(), 0, timedelta(minutes=1)
        swept_until = self._swept_until.get(collection.name)
        start = swept_until - _OVERLAP if swept_until else _oldest(collection, now)
        while start is not None and start < now and not self._stopping.is_set():
            end = min(start + width, now)
            with database_errors():
                window = {EXPIRE_AT: {"$gte": start, "$lt": end}}
                ids = [row["_id"] for row in collection.find(window, {"_id": True})]
            if len(ids) > _MANY and width > _NARROWEST:
                width = max(width / 4, _NARROWEST)
                continue
            for position in range(0, len(ids), BATCH):
                if self._stopping.is_set():
                    return deleted
                deleted += self._delete(collection, ids[position : position + BATCH])
            if len(ids) < _FEW:
                width = min(width * 4, _WIDEST)
            start = self._swept_until[collection.name] = end
        if start is None:
            self._swept_until[collection.name] = now
        return deleted

    def _delete(self, collection: Collection[dict[str, Any]], ids: list[object]) -> int:
        started = time.monotonic()
        with database_errors(writing=True):
            deleted = collection.delete_many({"_id": {"$in": ids}}).deleted_count
        self._stopping.wait(time.monotonic() - started)
        return deleted

    def _run(self) -> None:
        while True:
            try:
                if deleted := self.sweep():
                    _log.info("deleted %d documents whose time is over", deleted)
            except EventServiceError as error:
                if connection_was_closed(error):
                    return
                _log.info("what is over is still there", extra={"reason": str(error)})
            if self._stopping.wait(self._every_seconds):
                return


def _oldest(collection: Collection[dict[str, Any]], now: datetime) -> datetime | None:
    with database_errors():
        row = collection.find_one(
            {EXPIRE_AT: {"$lt": now}}, {"_id": False, EXPIRE_AT: True}, sort=[(EXPIRE_AT, ASCENDING)]
        )
    return None if row is None else row[EXPIRE_AT]
