"""A key set in a file, reloaded when the file changes."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from event_service.identity.key_set import KeySet, KeySetError, parse_key_set

logger = logging.getLogger(__name__)

# Seconds between checks of the file. A removed key must stop working within one second.
POLL_INTERVAL = 0.25

# A file read within this time (ns) of its time stamp may change again without a new one: time stamps have the
# resolution of the kernel's tick, on network file systems of a second.
TIMESTAMP_RESOLUTION = 2_000_000_000

Stamp = tuple[int, int, int, int, int]


class KeyFile:
    """The keys of one JWKS file, at most `interval` seconds old.

    If a changed file cannot be read or parsed, the previous keys stay, and the error is logged once.
    """

    def __init__(
        self, path: Path, *, interval: float = POLL_INTERVAL, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the file.

        Raises:
            KeySetError: it cannot be read, or is not a key set.
        """
        self._path = path
        self._interval = interval
        self._monotonic = monotonic
        self._checked_at = monotonic()
        self._stamp: Stamp | None = None
        self._stamp_final = False
        self._fault = ""
        try:
            self._content = self._read()
        except OSError as error:
            raise KeySetError(f"{path}: {error.strerror or error}") from error
        try:
            self._keys = parse_key_set(self._content)
        except KeySetError as error:
            raise KeySetError(f"{path}: {error}") from error
        if not len(self._keys):
            logger.warning("%s has no keys: every token is refused; add one with `event-service token keygen`", path)

    def current(self) -> KeySet:
        """Return the keys; the same object until the file changes."""
        now = self._monotonic()
        if now - self._checked_at >= self._interval:
            self._checked_at = now
            try:
                self._reload()
            except (OSError, KeySetError) as error:
                self._stamp_final = False  # read it again even if it does not change
                self._log_once(f"{self._path} cannot be loaded, the previous keys stay: {error}")
        return self._keys

    def fault(self) -> str:
        """Return why the file cannot be loaded at present; "" if it can."""
        self.current()
        return self._fault

    def _reload(self) -> None:
        if self._stamp_final and self._stamp_now() == self._stamp:
            return
        content = self._read()
        if content == self._content:
            self._fault = ""
            return
        keys = parse_key_set(content)
        self._content, self._keys, self._fault = content, keys, ""
        logger.info("loaded %s: %d keys", self._path, len(keys))

    def _read(self) -> bytes:
        # The stamp first: a change during the read then shows as a new stamp at the next check.
        self._stamp_final = False
        stamp = self._stamp_now()
        content = self._path.read_bytes()
        self._stamp = stamp
        self._stamp_final = time.time_ns() - max(stamp[0], stamp[1]) > TIMESTAMP_RESOLUTION
        return content

    def _stamp_now(self) -> Stamp:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev

    def _log_once(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            logger.error(fault)
