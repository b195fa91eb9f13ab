"""Statistics of a webhook's deliveries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

LONGEST_ERROR = 500
"""Characters kept of the last error."""


class DeliveryOutcome(NamedTuple):
    """The outcome of one delivery, counted as in `Activity`.

    Attributes:
        ignored: a reason for each member that makes no event on purpose.
        error: the refusal or the first fault; "" for none.
    """

    stored: int = 0
    errors: int = 0
    duplicates: int = 0
    unmatched: int = 0
    refused: int = 0
    ignored: Sequence[str] = ()
    error: str = ""


@dataclass(slots=True)
class Activity:
    """Sums, and the last delivery and error.

    Attributes:
        stored: stored events, including those of type ERROR.
        errors: ERROR events of unreadable members.
        duplicates: deliveries that had been stored before.
        unmatched: recoveries without an open alert, which were not stored.
        ignored: number of members that make no event on purpose, by reason.
        refused: authenticated deliveries that were refused: not signed, too large, ...
        last_received_at: of the newest delivery, refused or not; timezone-aware UTC.
        last_error_at, last_error: of the newest one that was refused or could not be read, and why.
    """

    stored: int = 0
    errors: int = 0
    duplicates: int = 0
    unmatched: int = 0
    ignored: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    last_received_at: datetime | None = None
    last_error_at: datetime | None = None
    last_error: str = ""

    def record(self, ending: DeliveryOutcome, clock: Callable[[], datetime]) -> None:
        """Add the outcome of one delivery.

        Args:
            clock: aware UTC; read if there is an error.
        """
        self.stored += ending.stored
        self.errors += ending.errors
        self.duplicates += ending.duplicates
        self.unmatched += ending.unmatched
        self.refused += ending.refused
        for reason in ending.ignored:
            self.ignored[reason] = self.ignored.get(reason, 0) + 1
        if ending.error:
            # A sender's text may hold a lone surrogate, which MongoDB cannot store.
            error = ending.error[:LONGEST_ERROR].encode("utf-8", "replace").decode()
            self.last_error_at, self.last_error = clock(), error

    def add(self, later: "Activity") -> None:
        """Add later statistics."""
        self.stored += later.stored
        self.errors += later.errors
        self.duplicates += later.duplicates
        self.unmatched += later.unmatched
        self.refused += later.refused
        for reason, times in later.ignored.items():
            self.ignored[reason] = self.ignored.get(reason, 0) + times
        # The later statistics may hold only counts.
        self.last_received_at = later.last_received_at or self.last_received_at
        if later.last_error_at is not None:
            self.last_error_at, self.last_error = later.last_error_at, later.last_error


@dataclass(slots=True)
class DeliveryCounts:
    """Counts to be added to one webhook.

    Attributes:
        calls, faulty_calls: authenticated calls, and those whose payload could not be parsed: upstream's two counters.
    """

    calls: int = 0
    faulty_calls: int = 0
    activity: Activity = field(default_factory=Activity)

    def add(self, later: "DeliveryCounts") -> None:
        """Add later counts."""
        self.calls += later.calls
        self.faulty_calls += later.faulty_calls
        self.activity.add(later.activity)
