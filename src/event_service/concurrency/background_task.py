"""Run work on the database in a background thread, and retry it until it succeeds."""

import logging
import threading
from collections.abc import Callable
from typing import TypeAlias

from pymongo.errors import InvalidOperation

from event_service.errors import EventServiceError

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0

Stopping: TypeAlias = Callable[[], bool]
"""True once the work is to stop early. It is repeated at the next start."""


class BackgroundTask:
    """Work that starts on construction.

    Args:
        name: of the thread, and of the work in the log.
        work: is called again from its beginning after it has raised an EventServiceError.
    """

    def __init__(self, name: str, work: Callable[[Stopping], None]) -> None:
        self._work = work
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until the work is done, and return whether it is."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Ask the work to stop, without waiting for it. The server finishes an operation it has begun."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._work(self._stopping.is_set)
            except EventServiceError as error:
                if connection_was_closed(error):
                    return
                _log.info("%s failed; will retry", self._thread.name, extra={"reason": str(error)})
                self._stopping.wait(_RETRY_SECONDS)
            else:
                return


def connection_was_closed(error: EventServiceError) -> bool:
    """Return whether the error comes from the service's own stop and not from the database."""
    return isinstance(error.__cause__, InvalidOperation)
