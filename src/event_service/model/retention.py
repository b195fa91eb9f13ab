"""How long events are kept: by their webhook, else by their severity, else by the setting.

The more particular one wins, also where it says more days, or for ever. The day on which an event goes is noted on it
when it is stored and does not follow later changes by itself; see docs/database.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from event_service.model.event import Event

OPTION = "retention_days"
"""The option of a webhook that says how many days its events are kept."""

LONGEST_RETENTION_DAYS = 36_500
"""A hundred years: less than what overflows when it is added to a date."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What the settings say; webhooks are asked beside it.

    Attributes:
        days: days an event is kept, 0 = for ever.
        by_severity: the same for the severities it names.
    """

    days: int = 0
    by_severity: Mapping[str, int] = field(default_factory=dict)

    @property
    def keeps_everything(self) -> bool:
        """Whether every event is kept for ever, unless its webhook says otherwise."""
        return not self.days and not any(self.by_severity.values())

    def days_of(self, severity: str, options: Mapping[str, Any]) -> int:
        """Days an event of this severity is kept, 0 = for ever.

        Args:
            options: of its webhook.
        """
        days = days_of_option(options.get(OPTION))
        return self.by_severity.get(severity, self.days) if days is None else days

    def expire_at(self, created_at: datetime, severity: str, options: Mapping[str, Any]) -> datetime | None:
        """When an event goes, counted from its receipt; None = never."""
        days = self.days_of(severity, options)
        return created_at + timedelta(days=days) if days else None

    def stamp(self, events: Iterable[Event], options: Mapping[str, Any]) -> None:
        """Notes on new events of one webhook when they go."""
        if OPTION not in options and self.keeps_everything:
            return
        for event in events:
            event.expire_at = self.expire_at(event.created_at, event.draft.severity, options)


def days_of_option(value: Any) -> int | None:
    """The days that an option's value stands for; None where it is none, or somebody else's meaning of the name."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= LONGEST_RETENTION_DAYS and not value % 1 else None
