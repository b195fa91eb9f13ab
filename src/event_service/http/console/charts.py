"""Figures beside a list of events: how many over time, and who and what they come from."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from event_service.errors import DeadlineExceeded, Overloaded
from event_service.events.manager import EventManager
from event_service.http.console.filter_form import SEVERITIES, Selection
from event_service.model.scope import Scope
from event_service.wire.timestamps import format_timestamp, parse_timestamp

BARS = 60
TOP = 5
SECONDS = 0.25
"""How long a page waits for figures before it shows the events without them."""

PATIENCE_SECONDS = 15.0
"""How long figures that were late are waited for when the page asks for them."""

MOST_TAKEN_APART = 5000
"""About how many events the resources are counted of. Each event has to be read for it."""

KEPT = 64
"""Selections whose figures are being counted or kept."""

_FORMATS = (
    (timedelta(hours=7), "%Y-%m-%dT%H:%M", timedelta(minutes=1)),
    (timedelta(days=10), "%Y-%m-%dT%H", timedelta(hours=1)),
)
_DAY = ("%Y-%m-%d", timedelta(days=1))
_BROKEN_DOWN_BY = {"provider": "provider", "webhook": "webhook_id", "resource": "resources"}
"""Resources last: an event has many, so that they have to be counted one by one."""


@dataclass(frozen=True)
class Segment:
    """A part of a bar: y and height in percent of the picture, from its top."""

    severity: str
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """The events of one slice of time. x and width in percent of the picture."""

    start: datetime
    end: datetime
    count: int
    x: float
    width: float
    segments: list[Segment]


@dataclass(frozen=True)
class Share:
    """How many events have one value.

    Attributes:
        label: what people call the value.
    """

    value: str
    label: str
    count: int
    percent: float
    href: str


@dataclass(frozen=True)
class Insight:
    """Everything beside the list. `late`: some figures took too long to be waited for, and are missing."""

    bars: list[Bar] = field(default_factory=list)
    most: int = 0
    severities: list[Share] = field(default_factory=list)
    breakdowns: dict[str, list[Share]] = field(default_factory=dict)
    late: bool = False


class Insights:
    """Counts what selections name, each once a minute at most.

    Counting may read every event of the selection, which a small database is long busy with. So a page waits `SECONDS`
    only and shows what there is by then; the counting goes on, and whoever comes back within a minute finds it done.
    """

    def __init__(self, events: EventManager) -> None:
        self._events = events
        self._counting: dict[tuple[Scope, Selection, datetime], _Counting] = {}

    async def get(
        self,
        scope: Scope,
        selection: Selection,
        now: datetime,
        names: Mapping[str, str],
        seconds: float | None = None,
    ) -> Insight:
        """The figures of a selection, as far as they are known in time.

        Args:
            now: the moment that the selection's time counts back from, the same for a minute.
            names: of webhooks, by id.
            seconds: how long to wait; None for as long as a page does.

        Raises:
            EventServiceError: as the list of the same selection does.
        """
        key = (scope, replace(selection, page=1, live=False), now)
        counting = self._counting.get(key)
        if counting is None or counting.has_failed:
            self._forget(now)
            if len(self._counting) >= KEPT:
                return Insight(late=True)
            counting = self._counting[key] = _Counting(self._events, scope, key[1], now, names)
        await asyncio.wait({counting.task}, timeout=SECONDS if seconds is None else seconds)
        try:
            if counting.task.done():
                counting.task.result()
        except (DeadlineExceeded, Overloaded):
            return replace(counting.insight, late=True)
        return counting.insight

    def _forget(self, now: datetime) -> None:
        old = [key for key, counting in self._counting.items() if key[2] < now and counting.task.done()]
        for key in old:
            del self._counting[key]


class _Counting:
    """The figures of one selection, as they become known.

    Attributes:
        insight: what is known; late until all is.
    """

    def __init__(
        self, events: EventManager, scope: Scope, selection: Selection, now: datetime, names: Mapping[str, str]
    ) -> None:
        self.insight = Insight(late=True)
        self._events = events
        self._scope = scope
        self._selection = selection
        self._names = names
        self.task = asyncio.create_task(self._count(now))
        self.task.add_done_callback(_look_at)

    @property
    def has_failed(self) -> bool:
        return self.task.done() and (self.task.cancelled() or self.task.exception() is not None)

    async def _count(self, now: datetime) -> None:
        """One question after the other: side by side they would keep everybody else from the database."""
        query = self._selection.query(now)
        since, until = self._selection.bounds(now)
        # Nothing is received later than now, and years of empty bars would end beyond the last of all years.
        until = min(until or now + timedelta(minutes=1), now + timedelta(days=1))
        date_format, step = _resolution(since, until)
        keys = [{"k": "created_at", "n": "at", "date_format": date_format}, _key("severity")]
        rows = (await self._events.stat(self._scope, _counted(query, keys))).get("results", [])
        bars, most = _bars(rows, since, until, step)
        self.insight = Insight(bars, most, _severities(rows, self._selection), late=True)
        for name, stored in _BROKEN_DOWN_BY.items():
            label, asked, stages = name, query, []
            if stored == "resources":
                stages = [{"unwind": {"path": "resources"}}]
                if newest := _newest(rows, MOST_TAKEN_APART):
                    condition = {"k": "created_at", "v": format_timestamp(newest), "o": "datetime_gte"}
                    label, asked = f"{name}, newest events", {**query, "filter": [*query["filter"], condition]}
            answer = await self._events.stat(self._scope, _counted(asked, [_key(stored)], stages, top=TOP))
            shares = _shares(answer.get("results", []), name, stored, self._selection, self._names)
            self.insight = replace(self.insight, breakdowns={**self.insight.breakdowns, label: shares})
        self.insight = replace(self.insight, late=False)


def _look_at(task: "asyncio.Task[None]") -> None:
    """Lest asyncio complains of an error that nobody has waited for."""
    if not task.cancelled():
        task.exception()


def _key(name: str) -> dict[str, str]:
    return {"k": name, "n": name}


def _counted(
    query: Mapping[str, Any],
    keys: Sequence[Mapping[str, str]],
    before: Sequence[Mapping[str, Any]] = (),
    top: int = 0,
) -> dict[str, Any]:
    stages = [*before, {"group": {"keys": list(keys), "fields": [{"n": "count", "o": "count"}]}}]
    if top:
        stages += [{"sort": [{"key": "count", "desc": True}]}, {"limit": top}]
    return {**query, "aggregate": stages}


def _resolution(since: datetime | None, until: datetime) -> tuple[str, timedelta]:
    for longest, date_format, step in _FORMATS:
        if since is not None and until - since <= longest:
            return date_format, step
    return _DAY


def _bars(
    rows: Sequence[Mapping[str, Any]], since: datetime | None, until: datetime, step: timedelta
) -> tuple[list[Bar], int]:
    """At most about BARS bars of whole steps, oldest first, and the count of the highest, of rows that have a time."""
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
        bars.append(Bar(begin, begin + width, sum(counted.values()), x, 100 / number * 0.8, _segments(counted, most)))
    return bars, most


def _newest(rows: Sequence[Mapping[str, Any]], most: int) -> datetime | None:
    """The time since which there are about `most` events, by the counts over time; None where there are no more."""
    left = most
    for row in sorted(_dated(rows), key=lambda row: str(row["at"]), reverse=True):
        left -= int(row["count"])
        if left < 0:
            return parse_timestamp(row["at"])
    return None


def _dated(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What upstream has stored may lack the time of its receipt."""
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


def _severities(rows: Sequence[Mapping[str, Any]], selection: Selection) -> list[Share]:
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
            selection.address(severities=(one,)),
        )
        for one in SEVERITIES
        if one in counts
    ]


def _shares(
    rows: Sequence[Mapping[str, Any]], name: str, stored: str, selection: Selection, names: Mapping[str, str]
) -> list[Share]:
    named = [(row.get(stored), int(row["count"])) for row in rows]
    most = max((count for _, count in named), default=1)
    return [
        Share(value, names.get(value, value), count, 100 * count / most, selection.narrowed(name, value))
        for value, count in named
        if isinstance(value, str) and value
    ]
