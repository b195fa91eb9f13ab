"""Retention of events: by webhook, else by severity, else by the setting.

The more specific one wins, even if it is longer. The time of deletion is set when an event is stored and does not
follow later changes; see docs/database.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from event_service.model.event import Event

OPTION = "retention_days"
"""The webhook option: days its events are kept."""

LONGEST_RETENTION_DAYS = 36_500
"""A hundred years; added to a date it does not overflow."""


@dataclass(frozen=True, slots=True)
class Retention:
    """The retention of the settings, which webhook options override.

    Attributes:
        days: days an event is kept, 0 = forever.
        by_severity: severity -> days.
    """

    days: int = 0
    by_severity: Mapping[str, int] = field(default_factory=dict)

    @property
    def keeps_everything(self) -> bool:
        """True if every event is kept forever, unless its webhook says otherwise."""
        return not self.days and not any(self.by_severity.values())

    def days_of(self, severity: str, options: Mapping[str, Any]) -> int:
        """Return the days an event of this severity is kept, 0 = forever.

        Args:
            options: of its webhook.
        """
        days = days_of_option(options.get(OPTION))
        return self.by_severity.get(severity, self.days) if days is None else days

    def expire_at(self, created_at: datetime, severity: str, options: Mapping[str, Any]) -> datetime | None:
        """Return the time of deletion, counted from receipt; None = never."""
        days = self.days_of(severity, options)
        return created_at + timedelta(days=days) if days else None

    def stamp(self, events: Iterable[Event], options: Mapping[str, Any]) -> None:
        """Set `expire_at` of new events of one webhook."""
        if OPTION not in options and self.keeps_everything:
            return
        for event in events:
            event.expire_at = self.expire_at(event.created_at, event.draft.severity, options)


def days_of_option(value: Any) -> int | None:
    """Return the days of an option's value, or None if it is not a valid number of days."""
    # A bool is an int in Python, and a Struct turns integers into doubles.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= LONGEST_RETENTION_DAYS and not value % 1 else None
