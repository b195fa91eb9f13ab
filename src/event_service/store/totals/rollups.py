"""Totals and positions from counted hours: what would take a look at every event takes a look at a few hours.

A total is the sum of the hours that lie inside what is asked for, and a live count of the rest: of what is newer than
the newest count, of hours whose events are due to be deleted, and of those that a bound of the question cuts through.
So it is exact, whenever the hours were counted, and whoever counted them. `rollup_store` says how they are kept.
"""

import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import bson
from cachetools import LRUCache

from event_service.errors import EventServiceError
from event_service.store.compile import both, compile_times
from event_service.store.totals.counted_domain import RollupDomain
from event_service.store.totals.rollup_bucket import HOUR, Bucket
from event_service.store.totals.rollup_groups import CountGroups, RollupGroup, Row
from event_service.store.totals.rollup_query import RollupQuery
from event_service.store.totals.rollup_store import WATERMARK, RollupStore
from event_service.wire.timestamps import utc_now

LOOK_AGAIN = 1.0
"""Seconds: how soon it is known that another replica, or a late event, changed an hour."""

LOOK_AGAIN_FOR_ALL = 30.0
"""Seconds: how soon it is known that another replica began to count a domain."""

MOVE_ON = timedelta(seconds=10)
"""How far the newest count may fall behind while somebody asks."""

TEND_EVERY = 60.0
"""Seconds: how often the counts are moved on though nobody asks."""

SHARE = 50
"""Hours are counted again in one of this many parts of the time, at most."""

_DOMAINS = 200

_log = logging.getLogger(__name__)

Count = Callable[[Mapping[str, Any]], int]


class SeekPosition(NamedTuple):
    """Where a row stands: `skip` rows after the first that was created before a moment; or that there is none."""

    before: datetime
    skip: int
    past_the_end: bool = False


class Rollups:
    """Counts of the domains that were asked about. Safe for many threads.

    Args:
        count: counts the events that match a filter; raises EventServiceError.
        clock: monotonic seconds.
        now: the present, UTC.
        alone: without a thread of its own: only `refresh` does what is done beside the answers.
    """

    def __init__(
        self,
        keeper: RollupStore,
        count: Count,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        alone: bool = False,
    ) -> None:
        self._keeper = keeper
        self._count = count
        self._clock = clock
        self._now = now
        self._domains: LRUCache[str, RollupDomain] = LRUCache(_DOMAINS)
        self._missing_since: LRUCache[str, float] = LRUCache(_DOMAINS)
        self._wanted: set[str] = set()
        self._turns: LRUCache[str, int] = LRUCache(_DOMAINS)
        self._audit_at: LRUCache[str, float] = LRUCache(_DOMAINS)
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._alone = alone

    def close(self) -> None:
        """Ends what goes on in the background."""
        self._closed.set()
        self._news.set()
        if self._thread:
            self._thread.join(2.0)

    def want(self, domain_id: str) -> None:
        """Has a domain counted, as it has many events. Returns at once."""
        self._wanted.add(domain_id)
        self._wake()

    def total(self, question: RollupQuery, timeless: Mapping[str, Any]) -> int | None:
        """How many events there are; None where they have to be counted.

        Args:
            timeless: the question as a filter, without its bounds of created_at.

        Raises:
            DeadlineExceeded, Unavailable: the database.
        """
        domain = self._current(question.domain_id)
        if domain is None or not domain.hours:
            return None
        since, before = question.since, question.before
        if since is not None and before is not None and since >= before:
            return 0
        self._wake_if_behind(domain)
        whole = domain.whole(since, before)
        total = question.counts(domain.undated) if since is None and before is None else 0
        total += self._newest(domain, question, timeless)
        total += sum(self._part(domain, timeless, hour, since, before) for hour in whole.cut)
        sums = domain.sums(question)
        total += sums[whole.end] - sums[whole.first]
        unsettled = domain.unsettled(whole, self._now())
        total -= sum(sums[position + 1] - sums[position] for position in unsettled)
        return total + sum(self._count(both(timeless, compile_times(*span))) for span in domain.spans(unsettled))

    def seek(self, question: RollupQuery, timeless: Mapping[str, Any], skip: int) -> SeekPosition | None:
        """Where the row is that `skip` newer ones come before, newest first; None where it has to be looked for.

        Raises:
            DeadlineExceeded, Unavailable: the database.
        """
        domain = self._current(question.domain_id)
        if domain is None or not domain.hours:
            return None
        since, before = question.since, question.before
        whole = domain.whole(since, before)
        first, end = whole.first, whole.end
        newer = self._newest(domain, question, timeless)
        if first >= end or newer > skip:
            return None
        above = [hour for hour in whole.cut if hour.begin > domain.begins[first]]
        newer += sum(self._part(domain, timeless, hour, since, before) for hour in above)
        if newer > skip:
            return None
        sums = domain.sums(question)
        below = sums[end] - (skip - newer)
        # An hour that just now changes must not lie between here and there; the seek itself may be in one.
        at = bisect_left(sums, below) - 1
        if (unsettled := domain.unsettled(whole, self._now())) and unsettled[-1] > at:
            return None
        if below <= sums[first]:  # behind all whole hours
            below_all = sum(
                self._part(domain, timeless, hour, since, before) for hour in whole.cut if hour not in above
            )
            undated = question.counts(domain.undated) if since is None and before is None else 0
            left = skip - newer - (sums[end] - sums[first])
            return SeekPosition(domain.begins[first], left, past_the_end=left >= below_all + undated)
        return SeekPosition(domain.hours[at].until, skip - newer - (sums[end] - sums[at + 1]))

    def groups(self, question: RollupQuery, group: RollupGroup, count_groups: CountGroups) -> list[Row] | None:
        """The rows of a group that only counts; None where they have to be asked of the database.

        Args:
            count_groups: groups the events between two times, if they are of the question's kinds.

        Raises:
            DeadlineExceeded, Unavailable: the database.
        """
        domain = self._current(question.domain_id)
        if domain is None or not domain.hours:
            return None
        since, before = question.since, question.before
        if since is not None and before is not None and since >= before:
            return []
        self._wake_if_behind(domain)
        whole = domain.whole(since, before)
        unsettled = domain.unsettled(whole, self._now())
        counted = domain.groups(question, group, whole, unsettled)
        if since is None and before is None:
            group.add_undated(counted, domain.undated, question.allows)
        for span in domain.spans(unsettled):
            group.add_rows(counted, count_groups(*span))
        for hour in whole.cut:
            begin = hour.begin if since is None else max(hour.begin, since)
            group.add_rows(counted, count_groups(begin, hour.until if before is None else min(hour.until, before)))
        top = domain.hours[-1].until
        if before is None or before > top:
            group.add_rows(counted, count_groups(top if since is None else max(since, top), before))
        return group.rows(counted)

    def refresh(self) -> None:
        """Counts what is wanted, moves the counts on, and counts again what has to be."""
        for domain_id in list(self._wanted):
            self._wanted.discard(domain_id)
            started = self._clock()
            if self._keeper.build(domain_id, self._now()):
                _log.info("events are counted", extra={"domain_id": domain_id, "seconds": self._clock() - started})
            with self._lock:
                self._domains.pop(domain_id, None)
                self._missing_since.pop(domain_id, None)
            self._current(domain_id)
        with self._lock:
            known = list(self._domains)
        for domain_id in known:
            domain = self._current(domain_id)
            if domain is None or not domain.hours:
                continue
            if self._now() - domain.hours[-1].until > WATERMARK + timedelta(seconds=1):
                self._keeper.advance(domain_id, domain.hours[-1], self._now())
                self._look_again(domain_id)
            self._count_again(domain_id)

    def _count_again(self, domain_id: str) -> None:
        """Hours that were reopened or lose events, and otherwise one in its turn."""
        domain, now = self._current(domain_id), self._now()
        if domain is None or not domain.hours or self._clock() < self._audit_at.get(domain_id, 0.0):
            return
        started = self._clock()
        due = [
            hour
            for hour in domain.hours
            if (now - hour.invalidated_at > WATERMARK if hour.invalidated_at else not hour.is_settled(now))
        ]
        turn = self._turns.get(domain_id, 0) % len(domain.hours)
        self._turns[domain_id] = turn + 1
        for hour in due:
            self._keeper.count_again(domain_id, hour, now)
        self._look_into(domain_id, domain.hours, turn)
        self._audit_at[domain_id] = self._clock() + (self._clock() - started) * SHARE
        self._look_again(domain_id)

    def _look_into(self, domain_id: str, hours: Sequence[Bucket], turn: int) -> None:
        """Counts an hour again, and what is older, up to the next hour that is known."""
        hour, now = hours[turn], self._now()
        if hour.invalidated_at is not None:
            return
        again = self._keeper.count_again(domain_id, hour, now)
        if again is not None and again.kinds != hour.kinds and hour.is_settled(now):
            found = {"kept": sum(hour.kinds.values()), "stored": sum(again.kinds.values())}
            _log.warning("an hour had been counted wrongly", extra={"hour": hour.begin.isoformat(), **found})
        older = hours[turn - 1].begin + HOUR if turn else None
        if older != hour.begin and self._keeper.find_missed(domain_id, older, hour.begin, now):
            _log.warning("events had not been counted", extra={"older_than": hour.begin.isoformat()})

    def _current(self, domain_id: str) -> RollupDomain | None:
        """What is known of a domain, at most LOOK_AGAIN old."""
        clock = self._clock()
        with self._lock:
            known = self._domains.get(domain_id)
            missing_since = self._missing_since.get(domain_id)
        if known is not None and clock - known.looked_at < LOOK_AGAIN:
            return known
        if known is None and missing_since is not None and clock - missing_since < LOOK_AGAIN_FOR_ALL:
            return None
        head = self._keeper.head(domain_id)
        if head is None:
            with self._lock:
                self._domains.pop(domain_id, None)
                self._missing_since[domain_id] = clock
            return None
        revision, undated = head
        if known is None:
            known = RollupDomain(revision, self._keeper.load(domain_id), undated, clock)
        elif known.revision != revision:
            newest = max((hour.changed_at for hour in known.hours if hour.changed_at), default=None)
            hours = {hour.begin: hour for hour in known.hours}
            hours.update((hour.begin, hour) for hour in self._keeper.load(domain_id, newest))
            known = RollupDomain(revision, hours.values(), undated, clock)
        else:
            known.looked_at = clock
        with self._lock:
            self._domains[domain_id] = known
        return known

    def _look_again(self, domain_id: str) -> None:
        with self._lock:
            known = self._domains.get(domain_id)
            if known is not None:
                known.looked_at = float("-inf")

    def _part(
        self,
        domain: RollupDomain,
        timeless: Mapping[str, Any],
        hour: Bucket,
        since: datetime | None,
        before: datetime | None,
    ) -> int:
        """The events of a part of an hour."""
        begin = hour.begin if since is None else max(hour.begin, since)
        end = hour.until if before is None else min(hour.until, before)
        if begin >= end:
            return 0
        matching = both(timeless, compile_times(begin, end))
        return domain.part(bson.encode(matching), hour, self._now(), lambda: self._count(matching))

    def _newest(self, domain: RollupDomain, question: RollupQuery, timeless: Mapping[str, Any]) -> int:
        """What is newer than the newest count."""
        top, before = domain.hours[-1].until, question.before
        if before is not None and before <= top:
            return 0
        begin = top if question.since is None else max(question.since, top)
        return self._count(both(timeless, compile_times(begin, before)))

    def _wake_if_behind(self, domain: RollupDomain) -> None:
        now = self._now()
        if now - domain.hours[-1].until > WATERMARK + MOVE_ON or domain.unsettled(domain.whole(None, None), now):
            self._wake()

    def _wake(self) -> None:
        if self._alone or self._closed.is_set():
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rollups", daemon=True)
                self._thread.start()
        self._news.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._news.wait(TEND_EVERY)
            self._news.clear()
            if self._closed.is_set():
                return
            try:
                self.refresh()
            except EventServiceError as error:
                _log.info("events could not be counted ahead", extra={"reason": str(error)})
            self._closed.wait(1.0)  # however often somebody asks
