"""The database's time, which all replicas share: their own clocks may be wrong, or be set while they run."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from event_service.store.client import Database
from event_service.wire.timestamps import truncate, utc_now

TOLERATED_SKEW = timedelta(seconds=5)
"""Skew of this machine's clock that is not reported. Tokens expire by that clock."""


class DatabaseClock:
    """The primary's time between two measurements, by the monotonic clock of this machine. Safe for many threads.

    Args:
        monotonic: seconds.
        local: the clock of this machine, timezone-aware UTC. It is the time until the first measurement.
    """

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, local: Callable[[], datetime] = utc_now
    ) -> None:
        self._monotonic = monotonic
        self._local = local
        self._offset = local().timestamp() - monotonic()
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        """Return the current time: timezone-aware UTC, whole milliseconds."""
        return truncate(datetime.fromtimestamp(self._monotonic() + self._offset, UTC))

    @property
    def skew(self) -> timedelta:
        """Return how far this machine's clock is ahead of the database's; negative for behind."""
        return self._local() - self()

    def measure(self, database: Database) -> None:
        """Ask the primary for its time.

        Raises:
            PyMongoError: the database failed.
        """
        asked = self._monotonic()
        server_time: datetime = database.client.admin.command("hello")["localTime"]
        self.adjust(server_time.replace(tzinfo=UTC), asked, self._monotonic())

    def adjust(self, server_time: datetime, asked: float, answered: float) -> None:
        """Take a measurement over, unless the time kept so far agrees with it within the round trip.

        So the round trips of a busy machine do not move the clock to and fro.

        Args:
            server_time: read by the server at some time between `asked` and `answered`, in monotonic seconds.
        """
        latest, earliest = server_time.timestamp() - asked, server_time.timestamp() - answered
        with self._lock:
            if not earliest <= self._offset <= latest:
                self._offset = (earliest + latest) / 2
