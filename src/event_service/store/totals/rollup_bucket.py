"""An hour of one domain, counted: how many events there are of each kind, and how that is stored.

A kind is a workspace, a project, a severity, a type, a webhook and a provider. A few hundred bytes say what thousands
of events would have to be read for.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

HOUR = timedelta(hours=1)

DIMENSIONS = ("workspace_id", "project_id", "severity", "event_type", "webhook_id", "provider")
"""What a kind consists of, in the order of `Dimensions`."""

Dimensions: TypeAlias = tuple[str | None, ...]
"""The values of DIMENSIONS; None for what is missing, or no text."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The events of a domain that were created from `begin` until `until`.

    Attributes:
        begin: a full hour, UTC.
        until: at most an hour later; earlier where the hour was not over when it was counted.
        kinds: how many of each kind.
        expires_from: when the first of them is to be deleted; None for never.
        invalidated_at: when somebody said that an event is still to come into this hour; None once it is counted again.
        changed_at: when this was written: no two writings of an hour have the same.
    """

    begin: datetime
    until: datetime
    kinds: Mapping[Dimensions, int]
    expires_from: datetime | None = None
    invalidated_at: datetime | None = None
    changed_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """All of the hour was counted."""
        return self.until - self.begin >= HOUR

    def is_settled(self, now: datetime) -> bool:
        """Neither are more events awaited, nor are any to be deleted by now: the count holds."""
        return self.invalidated_at is None and (self.expires_from is None or self.expires_from > now)


def hour_of(moment: datetime) -> datetime:
    """The full hour in which a moment lies."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def bucket_id(domain_id: str, begin: datetime) -> str:
    """The `_id` of an hour."""
    return f"{begin:%Y-%m-%dT%H} {domain_id}"


def bucket_document(domain_id: str, hour: Bucket) -> dict[str, Any]:
    """An hour as it is stored."""
    return {
        "_id": bucket_id(domain_id, hour.begin),
        "domain_id": domain_id,
        "begin": hour.begin,
        "until": hour.until,
        "kinds": kinds_as_stored(hour.kinds),
        "expires_from": hour.expires_from,
        "invalidated_at": hour.invalidated_at,
        "changed_at": hour.changed_at,
    }


def read_bucket(document: Mapping[str, Any]) -> Bucket:
    """An hour from how it is stored."""
    return Bucket(
        document["begin"],
        document["until"],
        kinds_from_stored(document["kinds"]),
        document.get("expires_from"),
        document.get("invalidated_at"),
        document.get("changed_at"),
    )


def kinds_as_stored(kinds: Mapping[Dimensions, int]) -> list[list[Any]]:
    """Each kind as a list, its number at the end."""
    return [[*kind, number] for kind, number in kinds.items()]


def kinds_from_stored(stored: Iterable[list[Any]]) -> dict[Dimensions, int]:
    """Kinds from how they are stored."""
    return {tuple(row[:-1]): int(row[-1]) for row in stored}


def count_stage() -> dict[str, Any]:
    """The $group that counts events by kind."""
    keys = {name: f"${name}" for name in DIMENSIONS}
    return {"$group": {"_id": keys, "number": {"$sum": 1}, "expires_from": {"$min": "$expire_at"}}}


def read_counted(rows: Iterable[Mapping[str, Any]]) -> tuple[dict[Dimensions, int], datetime | None]:
    """Kinds, and the first time of deletion, from the rows of `count_stage`."""
    kinds: Counter[Dimensions] = Counter()
    expires_from: datetime | None = None
    for row in rows:
        values = [row["_id"].get(name) for name in DIMENSIONS]
        kinds[tuple(value if isinstance(value, str) else None for value in values)] += int(row["number"])
        first = row.get("expires_from")
        if isinstance(first, datetime) and (expires_from is None or first < expires_from):
            expires_from = first
    return dict(kinds), expires_from
