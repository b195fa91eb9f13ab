"""A key set kept in a file, read again whenever the file changes."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from event_service.identity.key_set import KeySet, KeySetError, parse_key_set

logger = logging.getLogger(__name__)

# How often (s) the file is looked at. A key that is taken out must stop working within one second.
LOOK_INTERVAL = 0.25

# A file changed less than this (ns) before it was read may change again without a new time stamp: time stamps are
# as coarse as the kernel's tick, on network file systems a second.
SETTLED_AFTER = 2_000_000_000

Stamp = tuple[int, int, int, int, int]


class KeyFile:
    """The keys of one JWKS file, at most `interval` seconds old.

    A new file that cannot be read or parsed changes nothing: the former keys stay, and the fault is logged once.
    """

    def __init__(
        self, path: Path, *, interval: float = LOOK_INTERVAL, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Reads the file.

        Raises:
            KeySetError: it cannot be read, or is no key set.
        """
        self._path = path
        self._interval = interval
        self._monotonic = monotonic
        self._looked_at = monotonic()
        self._stamp: Stamp | None = None
        self._settled = False
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
            logger.warning("%s holds no keys: every token is refused", path)

    def current(self) -> KeySet:
        """The keys now: the same object as before unless the file has changed."""
        now = self._monotonic()
        if now - self._looked_at >= self._interval:
            self._looked_at = now
            try:
                self._look()
            except (OSError, KeySetError) as error:
                self._complain(f"{self._path}: the former keys stay: {error}")
        return self._keys

    def _look(self) -> None:
        if self._settled and self._stamp_now() == self._stamp:
            return
        content = self._read()
        if content == self._content:
            self._fault = ""
            return
        keys = parse_key_set(content)
        self._content, self._keys, self._fault = content, keys, ""
        logger.info("%s has changed: %d keys", self._path, len(keys))

    def _read(self) -> bytes:
        # The stamp first: a change during the read then shows as a new stamp at the next look.
        self._settled = False
        stamp = self._stamp_now()
        content = self._path.read_bytes()
        self._stamp = stamp
        self._settled = time.time_ns() - max(stamp[0], stamp[1]) > SETTLED_AFTER
        return content

    def _stamp_now(self) -> Stamp:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev

    def _complain(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            logger.error(fault)
