"""A circuit breaker: who does not answer is left alone for a while."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Breaker:
    """Counts failures in a row. Enough of them close the way for a pause, then one call at a time tries it again.

    Args:
        failures: how many in a row close the way.
        pause: seconds it stays closed.
        clock: monotonic seconds.
    """

    failures: int
    pause: float
    clock: Callable[[], float]
    _in_a_row: int = field(default=0, init=False)
    _closed_until: float = field(default=0.0, init=False)
    reason: str = field(default="", init=False)

    def allows(self) -> bool:
        """Whether a call may be made now. After a pause the first to ask may, and the others wait for what it finds."""
        if self._in_a_row < self.failures:
            return True
        now = self.clock()
        if now < self._closed_until:
            return False
        self._closed_until = now + self.pause
        return True

    def answered(self) -> None:
        """A call was answered, if only by a refusal."""
        self._in_a_row = 0

    def failed(self, reason: str) -> None:
        """A call was not answered; `reason` is kept for those that are not made because of it."""
        self._in_a_row += 1
        self.reason = reason
        if self._in_a_row >= self.failures:
            self._closed_until = self.clock() + self.pause
