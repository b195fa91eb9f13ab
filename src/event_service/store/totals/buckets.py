"""Buckets: the events of a domain in one hour, day or month (UTC), counted by combinations of dimensions.

Counting by all dimensions at once would multiply their sizes. A bucket counts by each of GROUPINGS instead, and leaves
out those that are too large for its level. What a bucket lacks is taken from finer buckets, or counted live.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from sys import intern
from typing import Any, TypeAlias

HOUR = timedelta(hours=1)

WATERMARK = timedelta(seconds=30)
"""Events are stored within this time after created_at, unless their buckets were invalidated before."""

LATE = WATERMARK / 2
"""An event that is older when it is stored invalidates its buckets first."""

DIMENSIONS = ("workspace_id", "project_id", "severity", "event_type", "webhook_id", "provider")
"""Fields that events are counted by, in the order of `Dimensions`."""

Dimensions: TypeAlias = tuple[str | None, ...]
"""Values of fields; None for a value that is missing or not a string."""

Grouping: TypeAlias = tuple[str, ...]
"""Some of DIMENSIONS, in their order."""

Counts: TypeAlias = dict[Dimensions, int]
"""Number of events by the values of a grouping."""

GROUPINGS: tuple[Grouping, ...] = (
    ("severity", "event_type"),
    ("provider",),
    ("webhook_id",),
    ("workspace_id", "severity", "event_type"),
    ("workspace_id", "provider"),
    ("workspace_id", "webhook_id"),
    ("workspace_id", "project_id"),
    ("workspace_id", "project_id", "severity", "event_type"),
    ("workspace_id", "project_id", "provider"),
    ("workspace_id", "project_id", "webhook_id"),
    DIMENSIONS,
)
"""A query is answered from the first that has its dimensions."""

_MAX_BYTES = 8_000_000  # of the counts in a document, which must not exceed 16 MiB
_ROW_BYTES = 20  # of BSON, without the strings


class Level(IntEnum):
    """Length of a bucket's period."""

    HOUR = 0
    DAY = 1
    MONTH = 2

    def begin(self, moment: datetime) -> datetime:
        """Return the begin of the period that contains a moment."""
        hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if self is Level.HOUR:
            return hour
        return hour.replace(hour=0) if self is Level.DAY else hour.replace(hour=0, day=1)

    def end(self, begin: datetime) -> datetime:
        """Return the end of the period that begins then."""
        return self.begin(begin + timedelta(days=31)) if self is Level.MONTH else begin + _LENGTHS[self]

    def newest_first(self, since: datetime, before: datetime) -> Iterator[datetime]:
        """Yield the begins of the periods that overlap `since <= moment < before`."""
        begin = self.begin(before - timedelta(microseconds=1))
        while since < before:
            yield begin
            if begin <= since:
                return
            begin = self.begin(begin - HOUR) if self is Level.MONTH else begin - _LENGTHS[self]


_LENGTHS = {Level.HOUR: HOUR, Level.DAY: timedelta(days=1)}

MAX_COUNTS = {Level.HOUR: 64, Level.DAY: 1_000, Level.MONTH: 20_000}
"""Counts that a bucket keeps by one grouping. A grouping with more is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Bucket:
    """The events of a domain with `begin <= created_at < end`, without the counts. Compared by identity.

    Attributes:
        end: the end of the period; of the newest hour, where counting has come to.
        kept: the groupings that it has counts by.
        expires_from: the earliest `expire_at` of its events; None for never.
        invalidated_at: when a late event was announced for it; None once it is recounted.
        changed_at: version: differs between any two writes of a bucket.
    """

    level: Level
    begin: datetime
    end: datetime
    kept: tuple[Grouping, ...] = GROUPINGS
    expires_from: datetime | None = None
    invalidated_at: datetime | None = None
    changed_at: datetime | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether the whole period was counted."""
        return self.end >= self.level.end(self.begin)

    def is_valid(self, now: datetime) -> bool:
        """Return whether the counts are exact: no late event is expected, no event has expired, the period is over.

        A bucket that ends in the future was counted by a clock that was ahead.
        """
        expired = self.expires_from is not None and self.expires_from <= now
        return self.invalidated_at is None and not expired and self.end <= now - LATE

    def id(self, domain_id: str) -> str:
        """Return the `_id` of its document."""
        return f"{self.level.name.lower()} {self.begin:%Y-%m-%dT%H} {domain_id}"

    def document(self, domain_id: str, counts: Mapping[Grouping, Counts]) -> dict[str, Any]:
        """Return the document of `event_rollup`. `due_at` is when it is to be recounted."""
        due_at = self.invalidated_at + WATERMARK if self.invalidated_at else self.expires_from
        return {
            "_id": self.id(domain_id),
            "domain_id": domain_id,
            "level": int(self.level),
            "begin": self.begin,
            "end": self.end,
            "expires_from": self.expires_from,
            "invalidated_at": self.invalidated_at,
            "changed_at": self.changed_at,
            "due_at": due_at,
            **written_counts(counts),
        }


WITHOUT_COUNTS = {"counts": False}
"""Projection of the documents that `read_bucket` takes."""


def read_bucket(document: Mapping[str, Any]) -> Bucket:
    """Return the bucket of a document."""
    return Bucket(
        Level(document["level"]),
        document["begin"],
        document["end"],
        tuple(tuple(name.split(",")) for name in document["kept"]),
        document["expires_from"],
        document["invalidated_at"],
        document["changed_at"],
    )


def written_counts(counts: Mapping[Grouping, Counts]) -> dict[str, Any]:
    """Return `kept` and `counts` of a document."""
    written = {
        ",".join(grouping): [[*values, number] for values, number in rows.items()] for grouping, rows in counts.items()
    }
    return {"kept": list(written), "counts": written}


def read_counts(document: Mapping[str, Any], grouping: Grouping) -> Counts:
    """Return the counts by a grouping that the document keeps."""
    rows: Iterable[list[Any]] = document["counts"][",".join(grouping)]
    return {tuple(value and intern(value) for value in row[:-1]): int(row[-1]) for row in rows}


class Tally:
    """Counts for one bucket; a grouping that exceeds the limit of the level is dropped.

    Attributes:
        expires_from: the earliest expiry added.
    """

    def __init__(self, level: Level) -> None:
        self._limit = MAX_COUNTS[level]
        self.counts: dict[Grouping, Counts] = {grouping: {} for grouping in GROUPINGS}
        self.expires_from: datetime | None = None

    def add(self, dimensions: Dimensions, number: int, expires_from: datetime | None) -> None:
        """Add events with the same values of DIMENSIONS."""
        named = dict(zip(DIMENSIONS, dimensions, strict=True))
        for grouping in tuple(self.counts):
            self._increment(grouping, tuple(named[name] for name in grouping), number)
        self.expire(expires_from)

    def add_counts(self, counts: Mapping[Grouping, Counts], expires_from: datetime | None) -> None:
        """Add the counts of another bucket. A grouping that it lacks is dropped."""
        for grouping in tuple(self.counts):
            if grouping not in counts:
                del self.counts[grouping]
                continue
            for values, number in counts[grouping].items():
                self._increment(grouping, values, number)
        self.expire(expires_from)

    def expire(self, at: datetime | None) -> None:
        """Note when events expire."""
        if at is not None:
            self.expires_from = at if self.expires_from is None else min(at, self.expires_from)

    def fitting(self) -> dict[Grouping, Counts]:
        """Return the counts that fit into one document, the smallest groupings first."""
        kept: dict[Grouping, Counts] = {}
        size = 0
        for grouping, rows in sorted(self.counts.items(), key=lambda item: len(item[1])):
            size += sum(_ROW_BYTES + sum(len((value or "").encode()) + 8 for value in values) for values in rows)
            if size <= _MAX_BYTES:
                kept[grouping] = rows
        return kept

    def _increment(self, grouping: Grouping, values: Dimensions, number: int) -> None:
        if (rows := self.counts.get(grouping)) is not None:
            rows[values] = rows.get(values, 0) + number
            if len(rows) > self._limit:
                del self.counts[grouping]
