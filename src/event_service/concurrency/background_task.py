"""Work on the database that nobody waits for, in a thread of its own, tried again until it has succeeded."""

import logging
import threading
from collections.abc import Callable
from typing import TypeAlias

from pymongo.errors import InvalidOperation

from event_service.errors import EventServiceError

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0

Stopping: TypeAlias = Callable[[], bool]
"""Whether the work is to end where it is. It is done again at the next start."""


class BackgroundTask:
    """Does a piece of work, from the moment it is made.

    Args:
        name: of the thread, and of the work in the log.
        work: may be done again from its beginning; raises an EventServiceError when it has to be.
    """

    def __init__(self, name: str, work: Callable[[Stopping], None]) -> None:
        self._work = work
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether it was done within that time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Has it end when it next asks, and does not wait for that. What the server has begun it finishes."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._work(self._stopping.is_set)
            except EventServiceError as error:
                if connection_was_closed(error):
                    return
                _log.info("%s: tried again later", self._thread.name, extra={"reason": str(error)})
                self._stopping.wait(_RETRY_SECONDS)
            else:
                return


def connection_was_closed(error: EventServiceError) -> bool:
    """Whether it comes of the service's own end, and not of the database."""
    return isinstance(error.__cause__, InvalidOperation)
