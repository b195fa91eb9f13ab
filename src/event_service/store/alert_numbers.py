"""Numbers of alerts, which count up per domain and workspace.

A process takes a block of numbers by one `$inc` of the workspace's counter, so that no two alerts get the same number
and few alerts cost a write. A restart and a repeated transaction leave gaps.
"""

import threading
from collections.abc import Sequence
from itertools import islice

from pymongo import DESCENDING, ReturnDocument

from event_service.store import indexes
from event_service.store.client import Database
from event_service.store.driver_errors import database_errors

_FIRST_BLOCK = 8
_LARGEST_BLOCK = 4096


class AlertNumbers:
    """The blocks of one process. Thread-safe."""

    def __init__(self, database: Database, timeout_ms: int) -> None:
        self._counters = database[indexes.ALERT_COUNTER]
        self._alerts = database[indexes.ALERT]
        self._timeout_ms = timeout_ms
        self._lock = threading.Lock()
        self._left: dict[tuple[str, str], range] = {}
        self._block: dict[tuple[str, str], int] = {}

    def take(self, domain_id: str, workspace_id: str, count: int) -> Sequence[int]:
        """Return numbers that no other alert of the workspace has, ascending.

        Raises:
            Unavailable: the database failed.
        """
        owner = (domain_id, workspace_id)
        with self._lock:
            left = self._left.get(owner, range(0))
            if len(left) >= count:
                self._left[owner] = left[count:]
                return left[:count]
            size = max(count - len(left), self._block.get(owner, _FIRST_BLOCK))
            last = self._last(owner, size)
            # Blocks grow, so that an alert storm does not wait for a counter in each batch.
            self._block[owner] = min(2 * size, _LARGEST_BLOCK)
            block = iter(range(last - size + 1, last + 1))
            numbers = [*left, *islice(block, count - len(left))]
            self._left[owner] = range(numbers[-1] + 1, last + 1)
            return numbers

    def _last(self, owner: tuple[str, str], size: int) -> int:
        domain_id, workspace_id = owner
        counter = {"_id": {"domain_id": domain_id, "workspace_id": workspace_id}}
        with database_errors(writing=True):
            if owner not in self._block:  # the counter may be missing, in a database of upstream and after a restore
                self._counters.update_one(
                    counter, {"$max": {"last": self._highest(domain_id, workspace_id)}}, upsert=True
                )
            row = self._counters.find_one_and_update(
                counter, {"$inc": {"last": size}}, upsert=True, return_document=ReturnDocument.AFTER
            )
        return int((row or {})["last"])

    def _highest(self, domain_id: str, workspace_id: str) -> int:
        newest = self._alerts.find_one(
            {"domain_id": domain_id, "workspace_id": workspace_id},
            {"_id": False, "alert_number": True},
            sort=[("alert_number", DESCENDING)],
            max_time_ms=self._timeout_ms,
        )
        highest = (newest or {}).get("alert_number")
        return highest if isinstance(highest, int) else 0
