"""The charts of a list: counts over time, by severity, and by the fields that a list names."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from event_service.errors import Overloaded, QueryTimeout
from event_service.http.console.filter_form import SEVERITIES, FilterForm
from event_service.model.scope import Scope
from event_service.wire.timestamps import format_timestamp, parse_timestamp

BARS = 60
TOP = 5
PAGE_WAIT_SECONDS = 0.25
"""A page shows its events without the charts that take longer."""

LATE_WAIT_SECONDS = 15.0
"""Most seconds to wait when the page asks for the missing charts."""

MAX_UNWOUND = 5000
"""About how many rows resources are counted of, the newest, since that reads every row."""

MAX_CACHED = 64
"""Most filters whose charts are in flight or cached."""

_STEPS = (
    (timedelta(hours=7), "%Y-%m-%dT%H:%M", timedelta(minutes=1)),
    (timedelta(days=10), "%Y-%m-%dT%H", timedelta(hours=1)),
)
_DAY = ("%Y-%m-%d", timedelta(days=1))


Stat = Callable[[Scope, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Answers a statistics query, as `EventManager.stat`."""


@dataclass(frozen=True)
class Counted:
    """The counts behind the charts of a list.

    Attributes:
        stat: answers their queries.
        breakdowns: fields by their names in filters. Lists are last, since counting them unwinds every row.
        over_time: count over time, and by severity; otherwise the page counts severities.
    """

    stat: Stat
    breakdowns: Mapping[str, str]
    over_time: bool = True


@dataclass(frozen=True)
class Segment:
    """One severity of a bar. `y` and `height` in percent of the chart, from its top."""

    severity: str
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """The events of one time slot. `x` and `width` in percent of the chart."""

    start: datetime
    end: datetime
    count: int
    x: float
    width: float
    segments: list[Segment]


@dataclass(frozen=True)
class Share:
    """The number of events with one value.

    Attributes:
        label: the name to show for the value.
        percent: of the largest row, or of all events for a severity.
        href: URL of the list with this value as a further filter.
    """

    value: str
    label: str
    count: int
    percent: float
    href: str


@dataclass(frozen=True)
class Charts:
    """The charts of a list.

    Attributes:
        bars: None for a list that has no chart over time.
        most: count of the highest bar.
        breakdowns: rows by the name of a field.
        late: some charts are not computed yet, and are missing.
    """

    bars: list[Bar] | None = field(default_factory=list)
    most: int = 0
    severities: list[Share] = field(default_factory=list)
    breakdowns: dict[str, list[Share]] = field(default_factory=dict)
    late: bool = False


class ChartCache:
    """The charts of recently used filters, computed at most once a minute for each.

    Counting may read every matching event, which takes a small database long. So a page waits `PAGE_WAIT_SECONDS` and
    shows the charts computed by then; the computation continues, and later requests of the same minute use its result.
    """

    def __init__(self, counted: Counted) -> None:
        self._counted = counted
        self._computations: dict[tuple[Scope, FilterForm, datetime], _Computation] = {}

    async def get(
        self,
        scope: Scope,
        form: FilterForm,
        now: datetime,
        names: Mapping[str, str],
        wait_seconds: float | None = None,
    ) -> Charts:
        """Return the charts that are computed in time.

        Args:
            now: reference of relative times, truncated to the minute; part of the cache key.
            names: names of webhooks by id.
            wait_seconds: most seconds to wait; None for `PAGE_WAIT_SECONDS`.

        Raises:
            EventServiceError: see `EventManager.list` with the same filters.
        """
        key = (scope, replace(form, page=1, live=False), now)
        computation = self._computations.get(key)
        if computation is None or computation.has_failed:
            self._forget(now)
            if len(self._computations) >= MAX_CACHED:
                # The page requests its charts again later.
                return Charts(late=True)
            computation = self._computations[key] = _Computation(self._counted, scope, key[1], now, names)
        await asyncio.wait({computation.task}, timeout=PAGE_WAIT_SECONDS if wait_seconds is None else wait_seconds)
        try:
            if computation.task.done():
                computation.task.result()
        except (QueryTimeout, Overloaded):
            return replace(computation.charts, late=True)
        return computation.charts

    def _forget(self, now: datetime) -> None:
        old = [key for key, computation in self._computations.items() if key[2] < now and computation.task.done()]
        for key in old:
            del self._computations[key]


class _Computation:
    """The charts of one filter form, computed in a task.

    Attributes:
        charts: those computed so far; late until complete.
    """

    def __init__(
        self, counted: Counted, scope: Scope, form: FilterForm, now: datetime, names: Mapping[str, str]
    ) -> None:
        self.charts = Charts([] if counted.over_time else None, late=True)
        self._counted = counted
        self._scope = scope
        self._form = form
        self._names = names
        self.task = asyncio.create_task(self._count(now))
        self.task.add_done_callback(retrieve_error)

    @property
    def has_failed(self) -> bool:
        return self.task.done() and (self.task.cancelled() or self.task.exception() is not None)

    async def _count(self, now: datetime) -> None:
        # One query after the other: in parallel they would slow down all other callers.
        query, stat = self._form.query(now), self._counted.stat
        newest = None
        if self._counted.over_time:
            since, until = self._form.bounds(now)
            # No event is received later than now, and bars up to year 9999 would overflow datetime.
            until = min(until or now + timedelta(minutes=1), now + timedelta(days=1))
            date_format, step = _step(since, until)
            keys = [{"k": "created_at", "n": "at", "date_format": date_format}, _key("severity")]
            rows = (await stat(self._scope, _count_query(query, keys))).get("results", [])
            bars, most = _bars(rows, since, until, step)
            self.charts = Charts(bars, most, severity_shares(rows, self._form), late=True)
            newest = _newest(rows, MAX_UNWOUND)
        for name, stored in self._counted.breakdowns.items():
            label, asked = name, query
            stages: list[dict[str, Any]] = []
            if stored.startswith("resources"):
                stages = [{"unwind": {"path": "resources"}}]
                if newest:
                    since_newest = {"k": "created_at", "v": format_timestamp(newest), "o": "datetime_gte"}
                    label, asked = f"{name}, newest events", {**query, "filter": [*query["filter"], since_newest]}
                elif not self._counted.over_time:
                    stages = [{"sort": [{"key": "created_at", "desc": True}]}, {"limit": MAX_UNWOUND}, *stages]
            response = await stat(self._scope, _count_query(asked, [{"k": stored, "n": name}], stages, top=TOP))
            shares = _shares(response.get("results", []), name, self._form, self._names)
            self.charts = replace(self.charts, breakdowns={**self.charts.breakdowns, label: shares})
        self.charts = replace(self.charts, late=False)


def retrieve_error(task: "asyncio.Task[Any]") -> None:
    # asyncio logs an error that is never retrieved.
    if not task.cancelled():
        task.exception()


def _key(name: str) -> dict[str, str]:
    return {"k": name, "n": name}


def _count_query(
    query: Mapping[str, Any],
    keys: Sequence[Mapping[str, str]],
    before: Sequence[Mapping[str, Any]] = (),
    top: int = 0,
) -> dict[str, Any]:
    stages = [*before, {"group": {"keys": list(keys), "fields": [{"n": "count", "o": "count"}]}}]
    if top:
        stages += [{"sort": [{"key": "count", "desc": True}]}, {"limit": top}]
    return {**query, "aggregate": stages}


def _step(since: datetime | None, until: datetime) -> tuple[str, timedelta]:
    for longest, date_format, step in _STEPS:
        if since is not None and until - since <= longest:
            return date_format, step
    return _DAY


def _bars(
    rows: Sequence[Mapping[str, Any]], since: datetime | None, until: datetime, step: timedelta
) -> tuple[list[Bar], int]:
    """Return about BARS bars of whole steps at most, oldest first, and the count of the highest bar."""
    dated = [
        (parse_timestamp(row["at"]), str(row.get("severity") or "NONE"), int(row["count"])) for row in _dated(rows)
    ]
    if not dated:
        return [], 0
    first = _floor(min(since or min(at for at, _, _ in dated), until), step)
    slots = max(1, -(-(until - first) // step))
    width = step * -(-slots // BARS)
    number = max(1, -(-(until - first) // width))
    counts: list[dict[str, int]] = [{} for _ in range(number)]
    for at, severity, count in dated:
        slot = (at - first) // width
        if 0 <= slot < number:
            counts[slot][severity] = counts[slot].get(severity, 0) + count
    most = max(sum(slot.values()) for slot in counts)
    bars = []
    for index, counted in enumerate(counts):
        begin = first + index * width
        x = 100 * index / number
        # 0.8 leaves a gap between bars.
        bars.append(Bar(begin, begin + width, sum(counted.values()), x, 100 / number * 0.8, _segments(counted, most)))
    return bars, most


def _newest(rows: Sequence[Mapping[str, Any]], most: int) -> datetime | None:
    """Return the time since which about `most` events were received, or None if there are fewer in all."""
    left = most
    for row in sorted(_dated(rows), key=lambda row: str(row["at"]), reverse=True):
        left -= int(row["count"])
        if left < 0:
            return parse_timestamp(row["at"])
    return None


def _dated(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    # Documents stored by upstream may lack created_at.
    return [row for row in rows if row.get("at")]


def _floor(moment: datetime, step: timedelta) -> datetime:
    if step >= timedelta(days=1):
        return moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if step >= timedelta(hours=1):
        return moment.replace(minute=0, second=0, microsecond=0)
    return moment.replace(second=0, microsecond=0)


def _segments(counts: Mapping[str, int], most: int) -> list[Segment]:
    segments, y = [], 100.0
    for severity in reversed(SEVERITIES):
        if counts.get(severity):
            height = 100 * counts[severity] / most
            y -= height
            segments.append(Segment(severity, y, height))
    return segments


def severity_query(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the statistics query that counts by severity."""
    return _count_query(query, [_key("severity")])


def severity_shares(rows: Sequence[Mapping[str, Any]], form: FilterForm) -> list[Share]:
    """Return the shares of the severities, the highest first."""
    counts: dict[str, int] = {}
    for row in rows:
        severity = str(row.get("severity") or "NONE")
        counts[severity] = counts.get(severity, 0) + int(row["count"])
    total = sum(counts.values()) or 1
    return [
        Share(
            one,
            one.replace("_", " ").lower(),
            counts[one],
            100 * counts[one] / total,
            form.url(severities=(one,)),
        )
        for one in SEVERITIES
        if one in counts
    ]


def _shares(rows: Sequence[Mapping[str, Any]], name: str, form: FilterForm, names: Mapping[str, str]) -> list[Share]:
    named = [(row.get(name), int(row["count"])) for row in rows]
    most = max((count for _, count in named), default=1)
    return [
        Share(value, names.get(value, value), count, 100 * count / most, form.url_with(name, value))
        for value, count in named
        if isinstance(value, str) and value
    ]
