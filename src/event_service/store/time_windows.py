"""Newest first on a database that does not push limits down: windows of time that widen until the page is full.

The embedded database sorts everything that matches before it takes the first ten, seconds for 100,000 documents. A
narrow range of the indexed time costs milliseconds. So the newest are looked for in the latest stretch of time, then in
the one before it, and so on; together the windows cover everything, each document once, so that the answer is that of
the plain query. Where the last page about the same ended is remembered, so that a quiet hour after a burst of events
does not make the next one read the whole burst.

    no date | everything before | window 3 | window 2 | window 1, which has no end: clocks run ahead
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeGuard

from cachetools import LRUCache

from event_service.query.filter import Compare, Comparison, Condition, Where
from event_service.query.list_query import ListQuery
from event_service.wire.timestamps import truncate, utc_now

_FIRST = timedelta(hours=1)
_NARROWEST = timedelta(milliseconds=50)
_MOST_STEPS = 7
_WIDER = 32
_MOMENT = timedelta(milliseconds=1)  # times are stored in whole ones
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_CAPACITY = 4096

Document = Mapping[str, Any]
Find = Callable[[Mapping[str, Any], int, int], Iterable[Document]]
"""(range of created_at, skip, limit) -> documents, newest first."""

Count = Callable[[Mapping[str, Any]], int]
"""(range of created_at) -> how many documents."""

_LOWER = frozenset({Comparison.GREATER, Comparison.GREATER_OR_EQUAL, Comparison.EQUAL})
_UPPER = frozenset({Comparison.LESS, Comparison.LESS_OR_EQUAL, Comparison.EQUAL})
_SELECTIVE = frozenset({"event_id", "event_key", "alert_id"})


@dataclass(frozen=True, slots=True)
class Between:
    """Times of creation.

    Attributes:
        since, before: the first included, the second not; None for no bound.
        undated: with those that have no time, which come after all others.
    """

    since: datetime | None = None
    before: datetime | None = None
    undated: bool = True


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far a page reached back.

    Attributes:
        oldest: when its last document was created, if it began with the newest of all.
        width: twice the time that its documents span.
        moving: the page before it ended elsewhere, so that the next one will probably do with later documents.
    """

    oldest: datetime | None
    width: timedelta
    moving: bool = False


_EVERYTHING = _Reach(None, timedelta.max)


def serves(query: ListQuery) -> bool:
    """True for the default order of many: no field is given that leaves but a few of them."""
    if query.sort is not None or query.unwind or query.add_fields:
        return False
    return not any(
        isinstance(each, Compare) and each.comparison is Comparison.EQUAL and each.path.name in _SELECTIVE
        for each in query.where.every
    )


class TimeWindows:
    """Finds pages of the default order, and remembers how far they reached back.

    Args:
        now: the present.
    """

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._reached: LRUCache[object, _Reach] = LRUCache(_CAPACITY)
        self._lock = threading.Lock()

    def page(
        self,
        between: Between,
        about: Sequence[object],
        skip: int,
        limit: int,
        *,
        find: Find,
        count: Count,
        begin: Callable[[], datetime | None] = lambda: None,
    ) -> Iterator[Document]:
        """The documents from `skip` on, at most `limit`, newest first, as one plain query would give them.

        They must have their created_at with them.

        Args:
            between: which times are asked for.
            about: what the query is about, from the particular to the general (hashable each): the next one about the
                same, or else about something like it, starts with windows that fit.
            begin: asked where nothing is known about that: a time, about, since which there are enough for the page.
        """
        newest = self._now() if between.before is None else min(self._now(), between.before)
        first: datetime | None = None
        last: datetime | None = None
        wanted = limit
        reach = self._reach(about)
        if reach is None:
            since = begin()
            reach = _Reach(None, _FIRST if since is None else newest - since)
        from_the_newest = skip == 0
        for window in _windows(newest, between, reach):
            if skip:
                there = count(window)
                if there <= skip:
                    skip -= there
                    continue
            for document in find(window, skip, wanted):
                wanted -= 1
                last = _created_at(document)
                first = first or last
                yield document
            skip = 0
            if not wanted:
                break
        if not wanted and last is not None:
            latest = first if from_the_newest and first else newest
            oldest = last if between.before is None else reach.oldest
            moving = reach.oldest not in {None, oldest}
            self._remember(about[0], _Reach(oldest, min(latest - last, timedelta.max / 2) * 2, moving))
        elif between == Between():  # of another time than all there might be enough
            self._remember(about[0], _EVERYTHING)

    def _reach(self, about: Sequence[object]) -> _Reach | None:
        with self._lock:
            return next((self._reached[each] for each in about if each in self._reached), None)

    def _remember(self, about: object, reach: _Reach) -> None:
        with self._lock:
            self._reached[about] = reach


def bounds(where: Where) -> tuple[datetime, datetime | None]:
    """Between which times (UTC) everything that is asked for was created; the second None for no bound."""
    lowest, highest = _EARLIEST, None
    for each in where.every:
        if isinstance(each, Compare) and each.path.name == "created_at" and isinstance(each.value, datetime):
            if each.comparison in _LOWER:
                lowest = max(lowest, each.value)
            if each.comparison in _UPPER:
                highest = each.value if highest is None else min(highest, each.value)
    return lowest, highest


def between(where: Where) -> Between:
    """The times of everything that is asked for."""
    since: datetime | None = None
    before: datetime | None = None
    for each in where.every:
        if not _is_about_time(each):
            continue
        moment = truncate(each.value)
        if each.comparison in _LOWER:
            begin = moment + _MOMENT if each.comparison is Comparison.GREATER else moment
            since = begin if since is None else max(since, begin)
        if each.comparison in _UPPER:
            end = moment if each.comparison is Comparison.LESS else moment + _MOMENT
            before = end if before is None else min(before, end)
    return Between(since, before, undated=since is None and before is None)


def timeless(where: Where) -> Where:
    """What is asked for but for the times of `between`.

    The embedded database reads one range of an indexed field, of the first condition on it that it meets: times have
    to be in one condition.
    """
    return replace(where, every=tuple(each for each in where.every if not _is_about_time(each)))


def _is_about_time(each: Condition) -> TypeGuard["_TimeComparison"]:
    return (
        isinstance(each, Compare)
        and each.path.name == "created_at"
        and isinstance(each.value, datetime)
        and each.comparison is not Comparison.NOT_EQUAL
    )


class _TimeComparison(Protocol):
    """A `Compare` with a time."""

    comparison: Comparison
    value: datetime


def _windows(newest: datetime, between: Between, reach: _Reach) -> Iterator[dict[str, Any]]:
    """Ranges of created_at, newest first, the first of them open to the future."""
    lowest = between.since or _EARLIEST
    end = between.before
    for begin in _beginnings(newest, reach if end is None else replace(reach, oldest=None)):
        if begin <= lowest:
            break
        yield within(begin, end)
        end = begin
    if not between.undated:
        yield within(between.since, end)
    elif end is None:
        yield {}  # the plain query
    else:
        yield {"created_at": {"$not": {"$gte": end}}}  # earlier ones, and after them those without a date


def _beginnings(newest: datetime, reach: _Reach) -> Iterator[datetime]:
    """Where windows begin, each earlier than the one before it: at first no further back than the last page reached."""
    width = max(reach.width, _NARROWEST)
    begin = newest
    if reach.oldest is not None:
        begin = reach.oldest
        if reach.moving and _before(newest, width) > begin:
            yield _before(newest, width)
        yield begin
    for _ in range(_MOST_STEPS):
        begin = _before(begin, width)
        yield begin
        width = min(width, timedelta.max / _WIDER) * _WIDER


def within(since: datetime | None, before: datetime | None) -> dict[str, Any]:
    """Documents with a created_at between two times, as one condition; without any bound, all documents."""
    bounds: dict[str, Any] = {}
    if since is not None:
        bounds["$gte"] = since
    if before is not None:
        bounds["$lt"] = before
    return {"created_at": bounds} if bounds else {}


def _created_at(document: Document) -> datetime | None:
    moment = document.get("created_at")
    if not isinstance(moment, datetime):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _before(moment: datetime, width: timedelta) -> datetime:
    return moment - width if moment - _EARLIEST > width else _EARLIEST
