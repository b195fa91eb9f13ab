"""The `event_rollup` collection: hourly buckets that are always counted from the stored events.

Storing an event adds to no counter, so a crash leaves no number wrong. Events do not change, and shortly after its end
an hour gets no more of them; so a bucket is counted once by one aggregation, for all replicas and for the next start:

    newest      the newest bucket is counted up to the watermark (now - WATERMARK) and advanced every few seconds
    late        before an event below the watermark is stored, its bucket is invalidated, see `invalidate`;
                an invalidated bucket is counted live until it is recounted
    expired     a bucket with expired events is recounted until the TTL index has deleted them
    early       a bucket that ends after the present, by a clock that was ahead, is invalidated until then
    audit       every bucket, and the gap to the next one, is recounted in turn; a difference is corrected and logged

Any replica may write any bucket by compare-and-set: a write names the version that it replaces, and the loser reloads.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from event_service.store.driver_errors import database_errors
from event_service.store.totals.rollup_bucket import (
    HOUR,
    LATE,
    WATERMARK,
    Bucket,
    Dimensions,
    bucket_begin,
    bucket_document,
    bucket_id,
    counts_from_rows,
    counts_to_rows,
    group_stage,
    read_bucket,
    read_groups,
)
from event_service.wire.timestamps import truncate

COLLECTION = "event_rollup"

MAX_COUNTS = 300_000
"""Counts in all buckets of a domain. A domain with more has no rollup: it would fill the memory of its readers."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_TIME_MS = 120_000
_CLOCK_SKEW = timedelta(minutes=10)

_log = logging.getLogger(__name__)

Documents = Collection[dict[str, Any]]


def invalidate(rollups: Documents, events: Iterable[tuple[str, datetime]], now: datetime) -> None:
    """Invalidate the buckets of late events. Call before the events are stored.

    Args:
        events: domain and created_at of each.

    Raises:
        Unavailable: the database failed.
    """
    late = {(domain_id, bucket_begin(created_at)) for domain_id, created_at in events if now - created_at > LATE}
    for domain_id in {domain_id for domain_id, _ in late}:
        with database_errors(writing=True):
            if rollups.count_documents({"_id": _header_id(domain_id)}, limit=1) == 0:
                continue
            for begin in (begin for owner, begin in late if owner == domain_id):
                marked = {"invalidated_at": now, "changed_at": now}
                if not rollups.update_one({"_id": bucket_id(domain_id, begin)}, {"$set": marked}).matched_count:
                    _insert_invalidated(rollups, domain_id, begin, now)
            _increment_revision(rollups, domain_id)


def _insert_invalidated(rollups: Documents, domain_id: str, begin: datetime, now: datetime) -> None:
    """Insert a bucket for an hour that had no events, unless it is newer than the newest bucket."""
    newest = next(iter(rollups.find({"domain_id": domain_id}).sort("begin", -1).limit(1)), None)
    if newest is None or begin > newest["begin"]:
        return
    try:
        rollups.insert_one(bucket_document(domain_id, Bucket(begin, begin + HOUR, {}, None, now, now)))
    except DuplicateKeyError:
        rollups.update_one({"_id": bucket_id(domain_id, begin)}, {"$set": {"invalidated_at": now, "changed_at": now}})


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

    def header(self, domain_id: str) -> tuple[int, dict[Dimensions, int]] | None:
        """Return the revision of a domain's rollup and the counts of its events without created_at.

        Returns:
            None if the domain has no rollup.
        """
        with database_errors(querying=True):
            found = self._rollups.find_one({"_id": _header_id(domain_id)})
        if found is None or found.get("too_large"):
            return None
        return int(found["revision"]), counts_from_rows(found["undated"])

    def load(self, domain_id: str, changed_since: datetime | None = None) -> list[Bucket]:
        """Return the buckets of a domain that were written since about then; None for all."""
        matching: dict[str, Any] = {"domain_id": domain_id}
        if changed_since is not None:
            matching["changed_at"] = {"$gte": changed_since - _CLOCK_SKEW}
        with database_errors(querying=True):
            return [read_bucket(document) for document in self._rollups.find(matching)]

    def build(self, domain_id: str, now: datetime) -> bool:
        """Count all buckets of a domain, newest first. Replicas may do so concurrently.

        Returns:
            Whether the domain has a rollup now; False if it needs more than MAX_COUNTS.

        Raises:
            EventServiceError: the database failed.
        """
        with database_errors(writing=True):
            if found := self._rollups.find_one({"_id": _header_id(domain_id)}):
                return not found.get("too_large")
            watermark = truncate(now - WATERMARK)
            newest = self._counted(domain_id, bucket_begin(watermark), watermark, now)
            self._rollups.replace_one(
                {"_id": bucket_id(domain_id, newest.begin)}, bucket_document(domain_id, newest), upsert=True
            )
            oldest = self._oldest(domain_id, watermark)
            size = len(newest.counts) + self._count_span(domain_id, oldest, newest.begin, now)
            undated, _ = self._aggregate({"domain_id": domain_id, "created_at": {"$not": {"$gte": _EPOCH}}})
            header = {"revision": 1, "undated": counts_to_rows(undated), "too_large": size > MAX_COUNTS}
            self._rollups.update_one({"_id": _header_id(domain_id)}, {"$setOnInsert": header}, upsert=True)
        # Writers invalidate only from now on: recount the buckets that late events may have reached before.
        for bucket in self.load(domain_id):
            if bucket.begin >= newest.begin - HOUR:
                self.recount(domain_id, bucket, now)
        return size <= MAX_COUNTS

    def fill_gap(self, domain_id: str, begin: datetime | None, end: datetime, now: datetime) -> int:
        """Count the hours of a time that has no buckets.

        Args:
            begin: None for no bound.

        Returns:
            The number of counts found: events that were not stored by `EventWriter`.
        """
        with database_errors(writing=True):
            if not self._has_events(domain_id, begin or _EPOCH, end):
                return 0
            size = self._count_span(domain_id, begin or self._oldest(domain_id, end), end, now)
            _increment_revision(self._rollups, domain_id)
            return size

    def _count_span(self, domain_id: str, begin: datetime, end: datetime, now: datetime) -> int:
        """Store a bucket for every hour with events, newest first, up to MAX_COUNTS; return the number of counts."""
        size = 0
        day = end.replace(hour=0, minute=0, second=0, microsecond=0)
        while day + timedelta(days=1) > begin and size <= MAX_COUNTS:
            # One cheap query skips a day without events.
            if self._has_events(domain_id, day, min(day + timedelta(days=1), end)):
                hours = (day + number * HOUR for number in reversed(range(24)))
                for start in (start for start in hours if bucket_begin(begin) <= start < end):
                    bucket = self._counted(domain_id, start, start + HOUR, now)
                    if bucket.counts:
                        matching = {"_id": bucket_id(domain_id, start)}
                        self._rollups.replace_one(matching, bucket_document(domain_id, bucket), upsert=True)
                    size += len(bucket.counts)
            day -= timedelta(days=1)
        return size

    def advance(self, domain_id: str, newest: Bucket, now: datetime) -> bool:
        """Extend the newest bucket, and add buckets, up to the watermark.

        Returns:
            False if another replica was faster or the newest bucket is invalidated: reload and try again later.
        """
        watermark = truncate(now - WATERMARK)
        bucket = newest
        while bucket.end < watermark:
            if bucket.is_complete:
                begin = bucket.begin + HOUR
                bucket = self._counted(domain_id, begin, min(begin + HOUR, watermark), now)
                with database_errors(writing=True):
                    try:
                        self._rollups.insert_one(bucket_document(domain_id, bucket))
                    except DuplicateKeyError:
                        return False
            else:
                if bucket.invalidated_at is not None:
                    return False
                extended = self._extended(domain_id, bucket, min(bucket.begin + HOUR, watermark), now)
                if not self._replace(domain_id, bucket, extended):
                    return False
                bucket = extended
        with database_errors(writing=True):
            _increment_revision(self._rollups, domain_id)
        return True

    def recount(self, domain_id: str, bucket: Bucket, now: datetime) -> Bucket | None:
        """Count a bucket again and store the result; it is valid from then on.

        A bucket that has not changed is written only if it was invalidated.

        Returns:
            The bucket as it is stored now, or None if another replica was faster.
        """
        recounted = _ordered_after(bucket, self._counted(domain_id, bucket.begin, bucket.end, now))
        unchanged = recounted.counts == bucket.counts and recounted.expires_from == bucket.expires_from
        if unchanged and bucket.invalidated_at is None:
            return bucket
        if not self._replace(domain_id, bucket, recounted):
            return None
        with database_errors(writing=True):
            _increment_revision(self._rollups, domain_id)
        return recounted

    def invalidate_early(self, domain_id: str, bucket: Bucket, now: datetime) -> None:
        """Invalidate a bucket that was counted too early, until its time is over."""
        if self._replace(domain_id, bucket, replace(bucket, invalidated_at=bucket.end, changed_at=truncate(now))):
            with database_errors(writing=True):
                _increment_revision(self._rollups, domain_id)

    def _replace(self, domain_id: str, old: Bucket, new: Bucket) -> bool:
        matching = {"_id": bucket_id(domain_id, old.begin), "end": old.end, "changed_at": old.changed_at}
        with database_errors(writing=True):
            return self._rollups.replace_one(matching, bucket_document(domain_id, new)).matched_count == 1

    def _counted(self, domain_id: str, begin: datetime, end: datetime, now: datetime) -> Bucket:
        counts, expires_from = self._aggregate({"domain_id": domain_id, "created_at": {"$gte": begin, "$lt": end}})
        return Bucket(begin, end, counts, expires_from, None, truncate(now))

    def _extended(self, domain_id: str, bucket: Bucket, end: datetime, now: datetime) -> Bucket:
        rest = self._counted(domain_id, bucket.end, end, now)
        counts = dict(bucket.counts)
        for dimensions, number in rest.counts.items():
            counts[dimensions] = counts.get(dimensions, 0) + number
        expiries = [each for each in (bucket.expires_from, rest.expires_from) if each is not None]
        extended = Bucket(bucket.begin, end, counts, min(expiries, default=None), None, truncate(now))
        return _ordered_after(bucket, extended)

    def _aggregate(self, matching: Mapping[str, Any]) -> tuple[dict[Dimensions, int], datetime | None]:
        pipeline = [{"$match": matching}, group_stage()]
        with database_errors():
            return read_groups(self._events.aggregate(pipeline, maxTimeMS=_MAX_TIME_MS, allowDiskUse=True))

    def _has_events(self, domain_id: str, begin: datetime, end: datetime) -> bool:
        matching = {"domain_id": domain_id, "created_at": {"$gte": begin, "$lt": end}}
        return self._events.count_documents(matching, limit=1, maxTimeMS=_MAX_TIME_MS) > 0

    def _oldest(self, domain_id: str, default: datetime) -> datetime:
        """Return the created_at of the domain's oldest event."""
        dated = {"domain_id": domain_id, "created_at": {"$gte": _EPOCH}}
        rows = self._events.find(dated, {"_id": False, "created_at": True})
        found = next(iter(rows.sort("created_at", 1).limit(1).max_time_ms(_MAX_TIME_MS)), None)
        return found["created_at"] if found else default


def _header_id(domain_id: str) -> str:
    return f"all {domain_id}"


def _increment_revision(rollups: Documents, domain_id: str) -> None:
    """Make readers reload the changed buckets."""
    rollups.update_one({"_id": _header_id(domain_id)}, {"$inc": {"revision": 1}})


def _ordered_after(old: Bucket, new: Bucket) -> Bucket:
    """Return the new bucket with a changed_at after the old one's: compare-and-set tells versions apart by it."""
    if old.changed_at is None or new.changed_at is None or new.changed_at > old.changed_at:
        return new
    return replace(new, changed_at=old.changed_at + timedelta(milliseconds=1))
