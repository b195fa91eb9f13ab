"""Keeps the counted hours of a domain in line with its events. What is counted is always what is stored.

Nothing is added up as events are stored, so there is no number that a crash could leave wrong. Events do not change,
and soon after its end an hour gets no more of them; so each hour is counted by one look at its events, and that
count is kept for all replicas and for the next start:

    newest      the hour under way is counted up to WATERMARK ago, and the count moved on every few seconds
    late        who stores an event of a time that may be counted already reopens its hour before, see `invalidate`;
                it is counted live until it is counted again
    deleted     an hour of which events are to be deleted is counted again until they are gone
    otherwise   every hour is counted again in turn, and what is between it and the next; where that finds another
                number, it is mended and logged

Any replica may write any hour: each writing names the one it replaces, and who comes second looks again.
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
    Bucket,
    Dimensions,
    bucket_document,
    bucket_id,
    count_stage,
    hour_of,
    kinds_as_stored,
    kinds_from_stored,
    read_bucket,
    read_counted,
)
from event_service.wire.timestamps import truncate

COLLECTION = "event_rollup"

WATERMARK = timedelta(seconds=30)
"""How long after their receipt events are stored at the latest, unless their hour is reopened."""

LATE = WATERMARK / 2
"""Who stores an event that is older says so before."""

MOST_KINDS = 300_000
"""Of all hours of a domain together. A domain with more is not kept: it would fill the memory of its readers."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PATIENCE_MS = 120_000
_SKEW = timedelta(minutes=10)

_log = logging.getLogger(__name__)

Documents = Collection[dict[str, Any]]


def invalidate(kept: Documents, moments: Iterable[tuple[str, datetime]], now: datetime) -> None:
    """Says that events are about to be stored late, before they are.

    Args:
        moments: domain and created_at of each.
    """
    hours = {(domain_id, hour_of(moment)) for domain_id, moment in moments if now - moment > LATE}
    for domain_id in {domain_id for domain_id, _ in hours}:
        with database_errors(writing=True):
            if kept.count_documents({"_id": _head_id(domain_id)}, limit=1) == 0:
                continue
            for begin in (begin for owner, begin in hours if owner == domain_id):
                noted = {"invalidated_at": now, "changed_at": now}
                if not kept.update_one({"_id": bucket_id(domain_id, begin)}, {"$set": noted}).matched_count:
                    _invalidate_uncounted(kept, domain_id, begin, now)
            _announce(kept, domain_id)


def _invalidate_uncounted(kept: Documents, domain_id: str, begin: datetime, now: datetime) -> None:
    """An hour that had no events, unless it is still to come."""
    newest = next(iter(kept.find({"domain_id": domain_id}).sort("begin", -1).limit(1)), None)
    if newest is None or begin > newest["begin"]:
        return
    try:
        kept.insert_one(bucket_document(domain_id, Bucket(begin, begin + HOUR, {}, None, now, now)))
    except DuplicateKeyError:
        kept.update_one({"_id": bucket_id(domain_id, begin)}, {"$set": {"invalidated_at": now, "changed_at": now}})


def forget(kept: Documents) -> None:
    """Has everything counted anew: after events were brought in or taken away by other ways than the service's own."""
    with database_errors(writing=True):
        kept.delete_many({})


class RollupStore:
    """Counts hours and keeps the counts. Blocking; safe for many threads and processes.

    Args:
        events: the `event` collection.
        kept: where the counts are.
    """

    def __init__(self, events: Documents, kept: Documents) -> None:
        self._events = events
        self._kept = kept

    def head(self, domain_id: str) -> tuple[int, dict[Dimensions, int]] | None:
        """The revision of a domain's hours, and its events without created_at; None where nothing is kept of it."""
        with database_errors(querying=True):
            found = self._kept.find_one({"_id": _head_id(domain_id)})
        if found is None or found.get("too_many"):
            return None
        return int(found["revision"]), kinds_from_stored(found["undated"])

    def load(self, domain_id: str, changed_since: datetime | None = None) -> list[Bucket]:
        """The hours of a domain that were written since, about; None for all."""
        wanted: dict[str, Any] = {"domain_id": domain_id}
        if changed_since is not None:
            wanted["changed_at"] = {"$gte": changed_since - _SKEW}
        with database_errors(querying=True):
            return [read_bucket(document) for document in self._kept.find(wanted)]

    def build(self, domain_id: str, now: datetime) -> bool:
        """Counts all hours of a domain for the first time, newest first. Whoever does so at the same time does no harm.

        Returns:
            Whether they are kept now: False if the domain has too many kinds.

        Raises:
            EventServiceError: the database.
        """
        with database_errors(writing=True):
            if found := self._kept.find_one({"_id": _head_id(domain_id)}):
                return not found.get("too_many")
            until = truncate(now - WATERMARK)
            newest = self._counted(domain_id, hour_of(until), until, now)
            self._kept.replace_one(
                {"_id": bucket_id(domain_id, newest.begin)}, bucket_document(domain_id, newest), upsert=True
            )
            kinds = len(newest.kinds) + self._count_span(domain_id, self._oldest(domain_id, until), newest.begin, now)
            undated, _ = self._kinds({"domain_id": domain_id, "created_at": {"$not": {"$gte": _EPOCH}}})
            head = {"revision": 1, "undated": kinds_as_stored(undated), "too_many": kinds > MOST_KINDS}
            self._kept.update_one({"_id": _head_id(domain_id)}, {"$setOnInsert": head}, upsert=True)
        # Only now are late events announced; what came late until now is in here.
        for hour in self.load(domain_id):
            if hour.begin >= newest.begin - HOUR:
                self.count_again(domain_id, hour, now)
        return kinds <= MOST_KINDS

    def find_missed(self, domain_id: str, begin: datetime | None, until: datetime, now: datetime) -> int:
        """Counts the hours of a time in which there were no events when it was counted.

        Args:
            begin: None for the beginning of time.

        Returns:
            How many kinds were found in them: events that somebody brought in by other ways than the service's own.
        """
        with database_errors(writing=True):
            if not self._any(domain_id, begin or _EPOCH, until):
                return 0
            kinds = self._count_span(domain_id, begin or self._oldest(domain_id, until), until, now)
            _announce(self._kept, domain_id)
            return kinds

    def _count_span(self, domain_id: str, begin: datetime, until: datetime, now: datetime) -> int:
        """Counts every hour that has events and begins between two times, newest first. Returns the number of kinds.

        Stops when there are too many kinds.
        """
        kinds = 0
        day = until.replace(hour=0, minute=0, second=0, microsecond=0)
        while day + timedelta(days=1) > begin and kinds <= MOST_KINDS:
            if self._any(domain_id, day, min(day + timedelta(days=1), until)):
                hours = (day + number * HOUR for number in reversed(range(24)))
                for start in (start for start in hours if hour_of(begin) <= start < until):
                    hour = self._counted(domain_id, start, start + HOUR, now)
                    if hour.kinds:
                        wanted = {"_id": bucket_id(domain_id, start)}
                        self._kept.replace_one(wanted, bucket_document(domain_id, hour), upsert=True)
                    kinds += len(hour.kinds)
            day -= timedelta(days=1)
        return kinds

    def advance(self, domain_id: str, newest: Bucket, now: datetime) -> bool:
        """Counts what has settled since the newest hour was counted.

        Returns:
            False if another replica was faster, or an event of that hour is still awaited: then look again later.
        """
        until = truncate(now - WATERMARK)
        hour = newest
        while hour.until < until:
            if hour.is_over:
                begin = hour.begin + HOUR
                hour = self._counted(domain_id, begin, min(begin + HOUR, until), now)
                with database_errors(writing=True):
                    try:
                        self._kept.insert_one(bucket_document(domain_id, hour))
                    except DuplicateKeyError:
                        return False
            else:
                if hour.invalidated_at is not None:
                    return False
                further = self._further(domain_id, hour, min(hour.begin + HOUR, until), now)
                if not self._replace(domain_id, hour, further):
                    return False
                hour = further
        with database_errors(writing=True):
            _announce(self._kept, domain_id)
        return True

    def count_again(self, domain_id: str, hour: Bucket, now: datetime) -> Bucket | None:
        """Counts an hour anew and keeps that; None where another replica was faster.

        An hour that stays as it was is not written, unless it was reopened.
        """
        again = _later_than(hour, self._counted(domain_id, hour.begin, hour.until, now))
        unchanged = again.kinds == hour.kinds and again.expires_from == hour.expires_from
        if unchanged and hour.invalidated_at is None:
            return hour
        if not self._replace(domain_id, hour, again):
            return None
        with database_errors(writing=True):
            _announce(self._kept, domain_id)
        return again

    def _replace(self, domain_id: str, old: Bucket, new: Bucket) -> bool:
        wanted = {"_id": bucket_id(domain_id, old.begin), "until": old.until, "changed_at": old.changed_at}
        with database_errors(writing=True):
            return self._kept.replace_one(wanted, bucket_document(domain_id, new)).matched_count == 1

    def _counted(self, domain_id: str, begin: datetime, until: datetime, now: datetime) -> Bucket:
        kinds, expires_from = self._kinds({"domain_id": domain_id, "created_at": {"$gte": begin, "$lt": until}})
        return Bucket(begin, until, kinds, expires_from, None, truncate(now))

    def _further(self, domain_id: str, hour: Bucket, until: datetime, now: datetime) -> Bucket:
        more = self._counted(domain_id, hour.until, until, now)  # begins where the hour ended
        kinds = dict(hour.kinds)
        for kind, number in more.kinds.items():
            kinds[kind] = kinds.get(kind, 0) + number
        expiries = [each for each in (hour.expires_from, more.expires_from) if each is not None]
        return _later_than(hour, Bucket(hour.begin, until, kinds, min(expiries, default=None), None, truncate(now)))

    def _kinds(self, matching: Mapping[str, Any]) -> tuple[dict[Dimensions, int], datetime | None]:
        with database_errors():
            return read_counted(
                self._events.aggregate([{"$match": matching}, count_stage()], maxTimeMS=_PATIENCE_MS, allowDiskUse=True)
            )

    def _any(self, domain_id: str, begin: datetime, until: datetime) -> bool:
        matching = {"domain_id": domain_id, "created_at": {"$gte": begin, "$lt": until}}
        return self._events.count_documents(matching, limit=1, maxTimeMS=_PATIENCE_MS) > 0

    def _oldest(self, domain_id: str, default: datetime) -> datetime:
        """Return the created_at of the domain's oldest event."""
        dated = {"domain_id": domain_id, "created_at": {"$gte": _EPOCH}}
        rows = self._events.find(dated, {"_id": False, "created_at": True})
        found = next(iter(rows.sort("created_at", 1).limit(1).max_time_ms(_PATIENCE_MS)), None)
        return found["created_at"] if found else default


def _head_id(domain_id: str) -> str:
    return f"all {domain_id}"


def _announce(kept: Documents, domain_id: str) -> None:
    """Has readers look for hours that were written."""
    kept.update_one({"_id": _head_id(domain_id)}, {"$inc": {"revision": 1}})


def _later_than(old: Bucket, new: Bucket) -> Bucket:
    """The new one, told from the old one by when it was written."""
    if old.changed_at is None or new.changed_at is None or new.changed_at > old.changed_at:
        return new
    return replace(new, changed_at=old.changed_at + timedelta(milliseconds=1))
