"""Leases in the database: of all processes on it, one at a time does a task that is to be done once.

`lease` has a document per task, {_id: task, holder, expires_at}, taken and renewed by compare-and-set in the database's
time. A holder that is killed loses its leases when they expire. A holder that was suspended may not notice that, so
what it does must stay right when two processes do it; a lease only saves the second one's work.
"""

import logging
import time
import uuid
from collections.abc import Callable

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from event_service.errors import EventServiceError
from event_service.store.client import Database, time_limit
from event_service.store.driver_errors import database_errors

COLLECTION = "lease"

SECONDS = 10.0
"""Duration of a lease, unless given: so long a task rests after its holder was killed."""

_RELEASE_SECONDS = 0.25

_log = logging.getLogger(__name__)


class Leases:
    """The leases of one process. Blocking; safe for many threads.

    Args:
        monotonic: seconds.
    """

    def __init__(self, database: Database, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._leases = database[COLLECTION]
        self._holder = uuid.uuid4().hex
        self._monotonic = monotonic
        self._renew_at: dict[str, float] = {}

    def acquire(self, task: str, *, seconds: float = SECONDS) -> bool:
        """Take or renew the lease of a task. Return whether it is held for at least half of its duration.

        Args:
            seconds: its duration.

        Raises:
            Unavailable: the database failed.
        """
        now = self._monotonic()
        if now < self._renew_at.get(task, now):
            return True
        is_free = {"$or": [{"$eq": ["$holder", self._holder]}, {"$lte": ["$expires_at", "$$NOW"]}]}  # also if missing
        expires_at = {"$add": ["$$NOW", round(seconds * 1000)]}
        taken = {
            "holder": {"$cond": [is_free, self._holder, "$holder"]},
            "expires_at": {"$cond": [is_free, expires_at, "$expires_at"]},
        }
        with database_errors(writing=True):
            try:
                lease = self._leases.find_one_and_update(
                    {"_id": task}, [{"$set": taken}], upsert=True, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:  # another process has just inserted it
                lease = None
        if lease is None or lease["holder"] != self._holder:
            self._renew_at.pop(task, None)
            return False
        self._renew_at[task] = now + seconds / 2
        return True

    def release(self) -> None:
        """End all leases, so that other processes need not wait for their expiry."""
        if not self._renew_at:
            return
        tasks = list(self._renew_at)
        self._renew_at.clear()
        try:
            with database_errors(writing=True), time_limit(_RELEASE_SECONDS):
                self._leases.delete_many({"_id": {"$in": tasks}, "holder": self._holder})
        except EventServiceError as error:
            _log.info("leases were not released; they expire", extra={"reason": str(error)})
