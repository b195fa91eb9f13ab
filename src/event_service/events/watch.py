"""New events as they come, for live views and `Events.Watch`: whoever watches looks into the store again and again.

When to look is told by the database's change stream where there is one, and by the clock elsewhere. An event is there
for readers a moment after its time of receipt, and replicas' clocks differ a little. So each look goes back
`OVERLAP_SECONDS`, and what has been told before is remembered that long. While the database has no majority nothing new
is shown, and what it has taken meanwhile may come later: then each look goes back to before that.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeAlias

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import InvalidArgument, NotFound, Overloaded
from event_service.model.scope import Scope
from event_service.wire.timestamps import format_timestamp, parse_timestamp, truncate, utc_now

OVERLAP_SECONDS = 10.0
POLL_SECONDS = 1.0
"""Between two looks where nobody tells of new events."""

QUIET_SECONDS = 5.0
"""Between two looks where somebody does, and has not."""

_BREATH_SECONDS = 0.5  # after a look, however much is told of

CONDITIONS = ("filter", "filter_or", "keyword")

MOST_WATCHERS = 256
"""Each looks into the store once a second, or twice where there is always news."""

_PAGE = 1000
_TOLD_AT_ONCE = 100


class Rows(Protocol):
    """A page of a list, as EventInfo bytes."""

    @property
    def rows(self) -> Sequence[bytes]: ...


class Events(Protocol):
    """What is needed of `events/manager.py`."""

    async def get(self, scope: Scope, event_id: str) -> bytes: ...
    async def list(self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str]) -> Rows: ...


class Feed(Protocol):
    """What is needed of `store/change_stream.py`."""

    @property
    def live(self) -> bool: ...
    def stop(self) -> None: ...


OpenFeed: TypeAlias = Callable[[Callable[[], None]], Feed]
"""Opens a feed that calls a function, in a thread of its own, whenever an event was stored."""


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """Some new events.

    Attributes:
        events: EventInfo bytes, in the order of receipt; may be empty, when only the token is new.
        token: where to go on. Whoever does hears nothing too little, but up to `OVERLAP_SECONDS` of events again.
    """

    events: Sequence[bytes]
    token: str


def refuse_all_but_conditions(query: Mapping[str, Any]) -> None:
    """Of a list's query only conditions make sense in a stream: the order is that of receipt, every field is told.

    Raises:
        InvalidArgument: something else is in it.
    """
    for name in query:
        if name not in CONDITIONS:
            raise InvalidArgument.at(f"query.{name}", f"has no meaning here; there are {', '.join(CONDITIONS)}")


class Watcher:
    """Watches events.

    Args:
        open_feed: while anybody watches, one feed is open for all of them. None = there is none.
        poll_seconds: between two looks where the feed does not tell.
        most: how many may watch at once.
        clock: aware UTC.
        confirmed_at: when the store last had a majority, aware UTC; None = whenever it answers.
    """

    def __init__(
        self,
        events: Events,
        open_feed: OpenFeed | None = None,
        *,
        poll_seconds: float = POLL_SECONDS,
        most: int = MOST_WATCHERS,
        clock: Callable[[], datetime] = utc_now,
        confirmed_at: Callable[[], datetime] | None = None,
    ) -> None:
        self._events = events
        self._open_feed = open_feed
        self._feed: Feed | None = None
        self._told = asyncio.Event()  # replaced by a new one each time it is set
        self._telling = False
        self._poll_seconds = poll_seconds
        self._most = most
        self._clock = clock
        self._confirmed_at = confirmed_at or clock
        self._watching = 0

    async def watch(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], token: str = ""
    ) -> AsyncGenerator[WatchBatch, None]:
        """What is received from now on, or from `token` on, and matches. Never ends by itself; yields after each poll.

        Args:
            query, equals: as `EventManager.list` takes them; of the query only conditions.

        Raises:
            InvalidArgument: something else in the query, or no token of ours.
            Overloaded: too many are watching.
            EventServiceError: as `EventManager.list`; go on later with the last token.
        """
        refuse_all_but_conditions(query)
        start = _start(token) if token else truncate(self._clock())
        if self._watching >= self._most:
            raise Overloaded("Too many are watching; ask again later.", retry_after=30.0)
        self._watching += 1
        if self._feed is None and self._open_feed is not None:
            self._feed = self._open_feed(partial(self._tell_from_outside, asyncio.get_running_loop()))
        try:
            async with aclosing(self._news(scope, query, equals, start)) as news:
                async for one in news:
                    yield one
        finally:
            self._watching -= 1
            if not self._watching and self._feed is not None:
                self._feed.stop()
                self._feed = None

    async def _news(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], start: datetime
    ) -> AsyncGenerator[WatchBatch, None]:
        told: dict[str, datetime] = {}
        while True:
            told_of_more = self._told
            complete_until = min(self._clock(), self._confirmed_at())
            asked_at = truncate(complete_until) - timedelta(seconds=OVERLAP_SECONDS)
            async for found in self._pages(scope, query, equals, start):
                new = [(event_id, received) for event_id, received in found if event_id not in told]
                told.update(new)
                for position in range(0, len(new), _TOLD_AT_ONCE):
                    some = new[position : position + _TOLD_AT_ONCE]
                    until = max(start, min(some[-1][1], asked_at))
                    yield WatchBatch(
                        await self._whole(scope, [event_id for event_id, _ in some]), format_timestamp(until)
                    )
                # The next page begins with this one's last millisecond, the next look no earlier than `asked_at`:
                # what is before both is not found again. A token may be years old.
                if found and (last := found[-1][1]) < asked_at:
                    told = {event_id: received for event_id, received in told.items() if received >= last}
            start = max(start, asked_at)
            told = {event_id: received for event_id, received in told.items() if received >= start}
            yield WatchBatch((), format_timestamp(start))
            await self._pause(told_of_more)

    async def _pause(self, told_of_more: asyncio.Event) -> None:
        """Until it is worth looking again.

        Args:
            told_of_more: of what was stored since the last look began.
        """
        breath = min(_BREATH_SECONDS, self._poll_seconds)
        await asyncio.sleep(breath)
        live = self._feed is not None and self._feed.live
        longest = QUIET_SECONDS if live else self._poll_seconds - breath
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told_of_more.wait(), longest)

    def _tell_from_outside(self, loop: asyncio.AbstractEventLoop) -> None:
        """For the feed's thread. Wakes the loop once, however much it is told of until it has noticed."""
        if not self._telling:
            self._telling = True
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody is waiting
                loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._telling = False
        self._told.set()
        self._told = asyncio.Event()

    async def _pages(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], start: datetime
    ) -> AsyncIterator[list[tuple[str, datetime]]]:
        """Ids and times of receipt of all that matches from `start` on, oldest first."""
        skip = 0
        while True:
            since = {"k": "created_at", "v": format_timestamp(start), "o": "datetime_gte"}
            asked = {
                **query,
                "filter": [*query.get("filter", ()), since],
                "sort": [{"key": "created_at"}],
                "only": ["event_id", "created_at"],
                "page": {"start": skip + 1, "limit": _PAGE},
            }
            page = await self._events.list(scope, asked, equals)
            rows = [event_pb2.EventInfo.FromString(row) for row in page.rows]
            yield [(row.event_id, parse_timestamp(row.created_at)) for row in rows]
            if len(rows) < _PAGE:
                return
            # Going on behind the last one costs less than skipping, unless a whole page came in one millisecond.
            last = parse_timestamp(rows[-1].created_at)
            start, skip = (last, 0) if last > start else (start, skip + _PAGE)

    async def _whole(self, scope: Scope, event_ids: Sequence[str]) -> list[bytes]:
        """The events, without those that were deleted meanwhile."""
        answers = await asyncio.gather(
            *(self._events.get(scope, event_id) for event_id in event_ids), return_exceptions=True
        )
        found = []
        for answer in answers:
            if isinstance(answer, bytes):
                found.append(answer)
            elif not isinstance(answer, NotFound):
                raise answer
        return found


def _start(token: str) -> datetime:
    try:
        return parse_timestamp(token)
    except ValueError:
        raise InvalidArgument.at("resume_token", "is none of ours") from None
