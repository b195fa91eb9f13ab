"""The `event_rollup` collection: buckets that are always counted from the stored events.

Storing an event adds to no counter, so a crash leaves no number wrong. Events do not change, and shortly after its end
an hour gets no more of them; so a bucket is counted once, for all replicas and for the next start:

    newest      the newest hour is counted up to the watermark (now - WATERMARK) and advanced every few seconds
    days        a day is counted when it is over; a month is the sum of its days
    late        before an event below the watermark is stored, its hour, day and month are invalidated, see
                `invalidate`; an invalidated bucket is not used until it is recounted
    expired     a bucket with expired events is recounted until the TTL index has deleted them
    early       a bucket that ends after the present, by a clock that was ahead, is invalidated until then
    audit       every bucket, and the gap to the next hour, is recounted in turn; a difference is corrected and logged

Hours are complete: where there is none, there is no event. Days and months may be missing.
Any replica may write any bucket by compare-and-set: a write names the version that it replaces, and the loser reloads.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from event_service.store.driver_errors import database_errors
from event_service.store.totals.buckets import (
    DIMENSIONS,
    HOUR,
    LATE,
    WATERMARK,
    WITHOUT_COUNTS,
    Bucket,
    Counts,
    Grouping,
    Level,
    Tally,
    read_bucket,
    read_counts,
    written_counts,
)
from event_service.wire.timestamps import truncate

COLLECTION = "event_rollup"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_TIME_MS = 120_000
_CLOCK_SKEW = timedelta(minutes=10)

Documents = Collection[dict[str, Any]]


class Counted(NamedTuple):
    """A bucket with its counts."""

    bucket: Bucket
    counts: Mapping[Grouping, Counts]


class Revision(NamedTuple):
    """A state of a rollup.

    Attributes:
        build: differs between rollups that were built for the same domain.
        number: increases when a bucket is written.
    """

    build: ObjectId
    number: int


def invalidate(rollups: Documents, events: Iterable[tuple[str, datetime]], now: datetime) -> None:
    """Invalidate the buckets of late events. Call before the events are stored.

    Args:
        events: domain and created_at of each.

    Raises:
        Unavailable: the database failed.
    """
    late: dict[str, set[datetime]] = {}
    for domain_id, created_at in events:
        if now - created_at > LATE:
            late.setdefault(domain_id, set()).add(Level.HOUR.begin(created_at))
    for domain_id, hours in late.items():
        with database_errors(writing=True):
            if rollups.count_documents({"_id": _header_id(domain_id)}, limit=1) == 0:
                continue
            newest = _newest_hour(rollups, domain_id)
            for level in Level:
                for begin in {level.begin(hour) for hour in hours}:
                    _invalidate(rollups, domain_id, Bucket(level, begin, level.end(begin), (), None, now, now), newest)
            _increment_revision(rollups, domain_id)


def _invalidate(rollups: Documents, domain_id: str, bucket: Bucket, newest: Bucket | None) -> None:
    """Invalidate a bucket; insert it if it does not exist, so that a count under way is not stored."""
    matching = {"_id": bucket.id(domain_id)}
    document = bucket.document(domain_id, {})
    marked = {"$set": {name: document[name] for name in ("invalidated_at", "changed_at", "due_at")}}
    if rollups.update_one(matching, marked).matched_count:
        return
    # The newest hour is extended: no hour may be inserted above it. Events there are counted live.
    if bucket.level is Level.HOUR and (newest is None or bucket.begin > newest.begin):
        return
    try:
        rollups.insert_one(document)
    except DuplicateKeyError:
        rollups.update_one(matching, marked)


def clear(rollups: Documents) -> None:
    """Delete all rollups, so that they are rebuilt. Call after events were changed other than by `EventWriter`."""
    with database_errors(writing=True):
        rollups.delete_many({})


class RollupStore:
    """Counts buckets and stores them. Blocking; safe for many threads and processes.

    Args:
        events: the `event` collection.
        rollups: the `event_rollup` collection.
    """

    def __init__(self, events: Documents, rollups: Documents) -> None:
        self._events = events
        self._rollups = rollups

    def revision(self, domain_id: str) -> Revision | None:
        """Return the revision of a domain's rollup, or None if it has none."""
        with database_errors(querying=True):
            found = self._rollups.find_one({"_id": _header_id(domain_id)}, WITHOUT_COUNTS)
        return Revision(found["build"], int(found["revision"])) if found and found["ready"] else None

    def undated(self, domain_id: str, grouping: Grouping) -> Counts | None:
        """Return the counts of events without created_at, or None if they are not kept by this grouping."""
        with database_errors(querying=True):
            found = self._rollups.find_one({"_id": _header_id(domain_id)})
        return read_counts(found, grouping) if found and ",".join(grouping) in found["kept"] else None

    def load(
        self,
        domain_id: str,
        *,
        levels: Sequence[Level] = tuple(Level),
        since: datetime = _EPOCH,
        before: datetime | None = None,
        changed_since: datetime | None = None,
    ) -> list[Bucket]:
        """Return the buckets of a domain that begin between two times, ascending.

        Args:
            changed_since: only those that were written since about then.
        """
        matching: dict[str, Any] = {"domain_id": domain_id, "level": {"$in": [int(level) for level in levels]}}
        matching["begin"] = {"$gte": since} if before is None else {"$gte": since, "$lt": before}
        if changed_since is not None:
            matching["changed_at"] = {"$gte": changed_since - _CLOCK_SKEW}
        with database_errors(querying=True):
            found = self._rollups.find(matching, WITHOUT_COUNTS)
            return sorted(map(read_bucket, found), key=lambda bucket: (bucket.begin, bucket.level))

    def newest(self, domain_id: str) -> Bucket | None:
        """Return the newest hour."""
        with database_errors(querying=True):
            return _newest_hour(self._rollups, domain_id)

    def oldest(self, domain_id: str) -> Bucket | None:
        """Return the oldest hour."""
        return self.next(domain_id, Level.HOUR, None)

    def next(self, domain_id: str, level: Level, after: datetime | None) -> Bucket | None:
        """Return the bucket that follows a time."""
        matching = {"domain_id": domain_id, "level": int(level), "begin": {"$gt": after or _EPOCH}}
        with database_errors(querying=True):
            found = self._rollups.find_one(matching, WITHOUT_COUNTS, sort=[("begin", ASCENDING)])
        return read_bucket(found) if found else None

    def due(self, domain_id: str, now: datetime) -> list[Bucket]:
        """Return the buckets to recount; hours before days before months."""
        matching = {"domain_id": domain_id, "due_at": {"$lte": now}, "end": {"$lte": truncate(now - WATERMARK)}}
        with database_errors(querying=True):
            found = map(read_bucket, self._rollups.find(matching, WITHOUT_COUNTS))
            return sorted(found, key=lambda bucket: (bucket.level, bucket.begin))

    def counts(self, domain_id: str, buckets: Sequence[Bucket], grouping: Grouping) -> dict[Bucket, Counts]:
        """Return the counts of buckets; those that were written since they were loaded are missing."""
        by_id = {bucket.id(domain_id): bucket for bucket in buckets}
        projection = {"changed_at": True, f"counts.{','.join(grouping)}": True}
        with database_errors(querying=True):
            found = list(self._rollups.find({"_id": {"$in": list(by_id)}}, projection))
        read = ((by_id[document["_id"]], document) for document in found)
        return {
            bucket: read_counts(document, grouping)
            for bucket, document in read
            if bucket.changed_at == document["changed_at"]
        }

    def build(self, domain_id: str, now: datetime) -> None:
        """Count all buckets of a domain, newest first. Replicas may do so concurrently; a stopped build is continued.

        Raises:
            EventServiceError: the database failed.
        """
        with database_errors(writing=True):
            header = self._rollups.find_one({"_id": _header_id(domain_id)})
            if header and header["ready"]:
                return
            # From here on writers invalidate what late events change.
            started = {"build": ObjectId(), "revision": 1, "ready": False}
            self._rollups.update_one({"_id": _header_id(domain_id)}, {"$setOnInsert": started}, upsert=True)
            watermark = truncate(now - WATERMARK)
            newest = _newest_hour(self._rollups, domain_id)
            if newest is None:
                newest = Bucket(Level.HOUR, Level.HOUR.begin(watermark), watermark, changed_at=truncate(now))
                self._insert(domain_id, self._counted(domain_id, newest, now))
            self._fill(domain_id, None, newest.begin, now)
            undated = self._tally({"domain_id": domain_id, "created_at": {"$not": {"$gte": _EPOCH}}}, Level.MONTH)
            built = {"ready": True, **written_counts(undated.fitting())}
            self._rollups.update_one({"_id": _header_id(domain_id)}, {"$set": built, "$inc": {"revision": 1}})
        # A writer may have looked for the header before it existed, and stored its late event after the count.
        for level in Level:
            for bucket in self.load(domain_id, levels=[level], since=level.begin(newest.begin - HOUR)):
                if bucket.invalidated_at is None:
                    self.recount(domain_id, bucket, now)

    def fill_gap(self, domain_id: str, begin: datetime | None, end: datetime, now: datetime) -> bool:
        """Count the hours of a time that has no buckets.

        Args:
            begin: None for no bound.

        Returns:
            Whether it has events, which were not stored by `EventWriter`.
        """
        with database_errors(writing=True):
            if not self._fill(domain_id, begin, end, now):
                return False
            _increment_revision(self._rollups, domain_id)
            return True

    def _fill(self, domain_id: str, begin: datetime | None, end: datetime, now: datetime) -> bool:
        """Insert buckets for the hours with events, their days and months, newest first."""
        before, days, months = end, set(), set()
        while (at := self._newest_event(domain_id, begin, before)) is not None:
            day = Level.DAY.begin(at)
            before = day
            days.add(day)
            months.add(Level.MONTH.begin(day))
            self._count_day(domain_id, day, end, now)
        for month in months:
            self.add(domain_id, Level.MONTH, month, now)
        return bool(days)

    def _count_day(self, domain_id: str, day: datetime, before: datetime, now: datetime) -> None:
        """Insert the hours of a day before a time, and the day if it is over."""
        end = min(before, Level.DAY.end(day))
        hours: dict[datetime, Tally] = {}
        whole = Tally(Level.DAY)
        for begin, dimensions, number, expires_from in self._rows(_between(domain_id, day, end), by_hour=True):
            hours.setdefault(begin, Tally(Level.HOUR)).add(dimensions, number, expires_from)
            whole.add(dimensions, number, expires_from)
        for begin, tally in hours.items():
            self._insert(domain_id, _completed(_empty(Level.HOUR, begin), tally, now))
        if end == Level.DAY.end(day) <= now - WATERMARK:
            self._insert(domain_id, _completed(_empty(Level.DAY, day), whole, now))

    def add(self, domain_id: str, level: Level, begin: datetime, now: datetime) -> bool:
        """Insert the day or month that begins then, if its period is over.

        Returns:
            Whether it was inserted.
        """
        bucket = _empty(level, begin)
        with database_errors(writing=True):
            if bucket.end > now - WATERMARK or self._rollups.count_documents({"_id": bucket.id(domain_id)}, limit=1):
                return False
        if not self._insert(domain_id, self._counted(domain_id, bucket, now)):
            return False
        with database_errors(writing=True):
            _increment_revision(self._rollups, domain_id)
        return True

    def advance(self, domain_id: str, newest: Bucket, now: datetime) -> bool:
        """Extend the newest hour, and add buckets, up to the watermark.

        Returns:
            False if another replica was faster or the newest hour is invalidated: reload and try again later.
        """
        watermark = truncate(now - WATERMARK)
        bucket = newest
        while bucket.end < watermark:
            if bucket.is_complete:
                begin = bucket.end
                bucket = Bucket(Level.HOUR, begin, min(begin + HOUR, watermark), changed_at=truncate(now))
                counted = self._counted(domain_id, bucket, now)
                if counted is None or not self._insert(domain_id, counted):
                    return False
                bucket = counted.bucket
            else:
                extended = self._extended(domain_id, bucket, min(bucket.begin + HOUR, watermark), now)
                if extended is None or not self._replace(domain_id, bucket, extended):
                    return False
                bucket = extended.bucket
        oldest = self.oldest(domain_id) or newest
        for level in (Level.DAY, Level.MONTH):
            begin = level.begin(level.begin(bucket.begin) - HOUR)
            while begin >= level.begin(oldest.begin) and self.add(domain_id, level, begin, now):
                begin = level.begin(begin - HOUR)
        with database_errors(writing=True):
            _increment_revision(self._rollups, domain_id)
        return True

    def recount(self, domain_id: str, bucket: Bucket, now: datetime) -> bool | None:
        """Count a bucket again and store the result; it is valid from then on.

        Returns:
            Whether the counts differ; None if they cannot be told, or another replica was faster.
        """
        counted = self._counted(domain_id, bucket, now)
        with database_errors(writing=True):
            stored = self._rollups.find_one({"_id": bucket.id(domain_id), "changed_at": bucket.changed_at})
        if counted is None or stored is None:
            return None
        before = {grouping: read_counts(stored, grouping) for grouping in bucket.kept}
        if bucket.invalidated_at is None and (before, bucket.expires_from) == (
            counted.counts,
            counted.bucket.expires_from,
        ):
            return False
        if not self._replace(domain_id, bucket, counted):
            return None
        with database_errors(writing=True):
            _increment_revision(self._rollups, domain_id)
        return before != counted.counts

    def invalidate_early(self, domain_id: str, now: datetime) -> None:
        """Invalidate the buckets that were counted too early, until their time is over."""
        early = {"domain_id": domain_id, "end": {"$gt": now - LATE}, "invalidated_at": None}
        with database_errors(writing=True):
            for found in list(self._rollups.find(early, WITHOUT_COUNTS)):
                changed_at = _version_after(found["changed_at"], now)
                marked = {"invalidated_at": found["end"], "due_at": found["end"] + WATERMARK, "changed_at": changed_at}
                matching = {"_id": found["_id"], "changed_at": found["changed_at"]}
                self._rollups.update_one(matching, {"$set": marked})
            _increment_revision(self._rollups, domain_id)

    def _counted(self, domain_id: str, bucket: Bucket, now: datetime) -> Counted | None:
        """Count a bucket; None for a month whose days are not valid."""
        if bucket.level is Level.MONTH:
            tally = self._sum_of_days(domain_id, bucket, now)
        else:
            tally = self._tally(_between(domain_id, bucket.begin, bucket.end), bucket.level)
        return None if tally is None else _completed(bucket, tally, now)

    def _sum_of_days(self, domain_id: str, month: Bucket, now: datetime) -> Tally | None:
        for begin in month.level.newest_first(month.begin, month.end):
            self._add_day_with_hours(domain_id, begin, now)
        tally = Tally(Level.MONTH)
        matching = {"domain_id": domain_id, "level": int(Level.DAY)}
        matching["begin"] = {"$gte": month.begin, "$lt": month.end}
        with database_errors():
            for document in self._rollups.find(matching):
                day = read_bucket(document)
                if not day.is_valid(now):
                    return None
                counts = {grouping: read_counts(document, grouping) for grouping in day.kept}
                tally.add_counts(counts, day.expires_from)
        return tally

    def _add_day_with_hours(self, domain_id: str, begin: datetime, now: datetime) -> None:
        hour = self.next(domain_id, Level.HOUR, begin - timedelta(microseconds=1))
        if hour is not None and hour.begin < Level.DAY.end(begin):
            self.add(domain_id, Level.DAY, begin, now)

    def _extended(self, domain_id: str, bucket: Bucket, end: datetime, now: datetime) -> Counted | None:
        """Return the bucket with the events up to a later end; None if it is invalid or was written since."""
        with database_errors():
            matching = {"_id": bucket.id(domain_id), "changed_at": bucket.changed_at, "invalidated_at": None}
            stored = self._rollups.find_one(matching)
        if stored is None:
            return None
        tally = self._tally(_between(domain_id, bucket.end, end), bucket.level)
        tally.add_counts({grouping: read_counts(stored, grouping) for grouping in bucket.kept}, bucket.expires_from)
        return _completed(replace(bucket, end=end), tally, now)

    def _replace(self, domain_id: str, old: Bucket, new: Counted) -> bool:
        matching = {"_id": old.id(domain_id), "invalidated_at": old.invalidated_at, "changed_at": old.changed_at}
        document = new.bucket.document(domain_id, new.counts)
        with database_errors(writing=True):
            return self._rollups.replace_one(matching, document).matched_count == 1

    def _insert(self, domain_id: str, counted: Counted | None) -> bool:
        """Insert a bucket, or return False if it exists: another replica, or the writer of a late event, was faster."""
        if counted is None:
            return False
        with database_errors(writing=True):
            try:
                self._rollups.insert_one(counted.bucket.document(domain_id, counted.counts))
            except DuplicateKeyError:
                return False
        return True

    def _tally(self, matching: Mapping[str, Any], level: Level) -> Tally:
        tally = Tally(level)
        for _, dimensions, number, expires_from in self._rows(matching):
            tally.add(dimensions, number, expires_from)
        return tally

    def _rows(
        self, matching: Mapping[str, Any], *, by_hour: bool = False
    ) -> Iterable[tuple[datetime, tuple[str | None, ...], int, datetime | None]]:
        """Yield hour, dimensions, number and earliest expiry of groups of events."""
        keys: dict[str, Any] = {name: f"${name}" for name in DIMENSIONS}
        if by_hour:
            keys["hour"] = {"$dateToString": {"date": "$created_at", "format": "%Y-%m-%dT%H:00:00+00:00"}}
        group = {"_id": keys, "number": {"$sum": 1}, "expires_from": {"$min": "$expire_at"}}
        with database_errors():
            for row in self._events.aggregate(
                [{"$match": matching}, {"$group": group}], maxTimeMS=_MAX_TIME_MS, allowDiskUse=True
            ):
                values = (row["_id"].get(name) for name in DIMENSIONS)
                dimensions = tuple(value if isinstance(value, str) else None for value in values)
                expires_from = row.get("expires_from")
                yield (
                    datetime.fromisoformat(row["_id"]["hour"]) if by_hour else _EPOCH,
                    dimensions,
                    int(row["number"]),
                    expires_from if isinstance(expires_from, datetime) else None,
                )

    def _newest_event(self, domain_id: str, begin: datetime | None, end: datetime) -> datetime | None:
        """Return the created_at of the newest event between two times."""
        rows = self._events.find(_between(domain_id, begin or _EPOCH, end), {"_id": False, "created_at": True})
        found = next(iter(rows.sort("created_at", DESCENDING).limit(1).max_time_ms(_MAX_TIME_MS)), None)
        return found["created_at"] if found else None


def _between(domain_id: str, begin: datetime, end: datetime) -> dict[str, Any]:
    return {"domain_id": domain_id, "created_at": {"$gte": begin, "$lt": end}}


def _empty(level: Level, begin: datetime) -> Bucket:
    return Bucket(level, begin, level.end(begin))


def _completed(bucket: Bucket, tally: Tally, now: datetime) -> Counted:
    """Return a new version of a bucket."""
    counts, changed_at = tally.fitting(), _version_after(bucket.changed_at, now)
    counted = replace(bucket, kept=tuple(counts), expires_from=tally.expires_from, changed_at=changed_at)
    return Counted(replace(counted, invalidated_at=None), counts)


def _version_after(old: datetime | None, now: datetime) -> datetime:
    """Return the time of a write, after the one that it replaces: compare-and-set tells versions apart by it."""
    changed_at = truncate(now)
    return changed_at if old is None or changed_at > old else old + timedelta(milliseconds=1)


def _header_id(domain_id: str) -> str:
    return f"rollup {domain_id}"


def _newest_hour(rollups: Documents, domain_id: str) -> Bucket | None:
    matching = {"domain_id": domain_id, "level": int(Level.HOUR)}
    found = rollups.find_one(matching, WITHOUT_COUNTS, sort=[("begin", DESCENDING)])
    return read_bucket(found) if found else None


def _increment_revision(rollups: Documents, domain_id: str) -> None:
    """Make readers reload the changed buckets."""
    rollups.update_one({"_id": _header_id(domain_id)}, {"$inc": {"revision": 1}})
