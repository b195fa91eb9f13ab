"""Circuit breaker for servers that do not answer."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Breaker:
    """Circuit breaker: opens after failures in a row, then lets one trial call through per pause.

    Args:
        failures: number in a row that opens it.
        pause: seconds it stays open.
        clock: monotonic seconds.
    """

    failures: int
    pause: float
    clock: Callable[[], float]
    _in_a_row: int = field(default=0, init=False)
    _open_until: float = field(default=0.0, init=False)
    reason: str = field(default="", init=False)

    def allows(self) -> bool:
        """Return True if a call may be made now. After a pause only the first caller may try."""
        if self._in_a_row < self.failures:
            return True
        now = self.clock()
        if now < self._open_until:
            return False
        # Concurrent callers wait another pause; the first one tries.
        self._open_until = now + self.pause
        return True

    def answered(self) -> None:
        """Record an answer. An error status is an answer too."""
        self._in_a_row = 0

    def failed(self, reason: str) -> None:
        """Record a call without an answer; `reason` is kept for the calls that are refused while it is open."""
        self._in_a_row += 1
        self.reason = reason
        if self._in_a_row >= self.failures:
            self._open_until = self.clock() + self.pause
