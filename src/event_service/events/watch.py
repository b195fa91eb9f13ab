"""Stream new events for `Events.Watch` and live views by polling the store.

The database's change stream, if available, says when to poll; otherwise a timer does. An event becomes readable shortly
after its time of receipt. So each poll goes back `OVERLAP_SECONDS`, and events that were sent are remembered that long;
events that become readable later than that are named by the change stream. While the database has no majority nothing
new is readable, and events it accepted meanwhile may become readable later: then each poll goes back to before that
time.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.concurrency.shares import Shares
from event_service.errors import InvalidArgument, NotFound, Overloaded
from event_service.events.queries import EventQueries
from event_service.model.scope import Scope
from event_service.store.change_stream import ChangeStream, InsertedEvent, OnChange
from event_service.wire.timestamps import format_timestamp, parse_timestamp, truncate, utc_now

OVERLAP_SECONDS = 10.0
POLL_SECONDS = 1.0
"""Poll interval when change streams are unavailable."""

LIVE_POLL_SECONDS = 5.0
"""Poll interval while the change stream is live and reports nothing."""

_LEAST_PAUSE_SECONDS = 0.5  # between two polls, also in a burst of events

CONDITIONS = ("filter", "filter_or", "keyword")

MOST_WATCHERS = 256
"""Of one domain. Each polls once a second, or twice while new events arrive all the time."""

PAGE = 1000
BATCH_ROWS = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_LATE = timedelta(seconds=OVERLAP_SECONDS / 2)
_MOST_LATE = 10_000  # event_ids kept for a watcher until its next poll

Batch = TypeVar("Batch")

OpenChangeStream: TypeAlias = Callable[[OnChange], ChangeStream]
"""(on_change) -> a stream that calls `on_change` in a thread of its own after each insert."""


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """New events.

    Attributes:
        events: EventInfo bytes, in the order of receipt; empty if only the token is new.
        token: resume token. Resuming misses no event, but repeats up to `OVERLAP_SECONDS` of events.
    """

    events: Sequence[bytes]
    token: str


def refuse_all_but_conditions(query: Mapping[str, Any]) -> None:
    """Refuse everything in a list query that a stream does not support: it has a fixed order and sends all fields.

    Raises:
        InvalidArgument: the query holds more than conditions.
    """
    for name in query:
        if name not in CONDITIONS:
            raise InvalidArgument.at(f"query.{name}", f"is not supported here; use {', '.join(CONDITIONS)}")


class PollingWatcher(ABC, Generic[Batch]):
    """Watchers of one collection, without the query.

    Args:
        open_stream: all watchers share one change stream. None = unavailable.
        poll_seconds: poll interval without a live change stream.
        most: concurrent watchers of a domain, if no other domain has any; see `Shares`.
        clock: aware UTC.
        confirmed_at: when the store last had a majority, aware UTC; None = always.
    """

    def __init__(
        self,
        open_stream: OpenChangeStream | None = None,
        *,
        poll_seconds: float = POLL_SECONDS,
        most: int = MOST_WATCHERS,
        clock: Callable[[], datetime] = utc_now,
        confirmed_at: Callable[[], datetime] | None = None,
    ) -> None:
        self._open_stream = open_stream
        self._stream: ChangeStream | None = None
        self._changed = asyncio.Event()  # replaced by a new one each time it is set
        self._notified = False
        self._poll_seconds = poll_seconds
        self._watchers = Shares(2 * most)
        self._clock = clock
        self._confirmed_at = confirmed_at or clock
        self._late: list[deque[str]] = []  # of each watcher: events that became readable late

    async def watch(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, Any], token: str = ""
    ) -> AsyncGenerator[Batch, None]:
        """Yield what is new and matches, from now or from `token` on. Never ends by itself; yields after each poll.

        Args:
            query, equals: as lists take them; the query may hold conditions only.

        Raises:
            InvalidArgument: the query holds something else, or the token is not valid.
            Overloaded: too many watchers of the domain.
            EventServiceError: as lists; resume later with the last token.
        """
        refuse_all_but_conditions(query)
        start = _start(token) if token else truncate(self._clock())
        if not self._watchers.fits(scope.domain_id):
            raise Overloaded("Too many watchers of this domain; send again later.", retry_after=30.0)
        late: deque[str] = deque(maxlen=_MOST_LATE)
        self._late.append(late)
        if self._stream is None and self._open_stream is not None:
            self._stream = self._open_stream(partial(self._on_change, asyncio.get_running_loop()))
        try:
            with self._watchers.taken(scope.domain_id):
                async with aclosing(self._poll(scope, query, equals, start, late)) as batches:
                    async for batch in batches:
                        yield batch
        finally:
            self._late = [each for each in self._late if each is not late]
            if not self._late and self._stream is not None:
                self._stream.stop()
                self._stream = None

    @abstractmethod
    def _poll(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, Any], start: datetime, late: deque[str]
    ) -> AsyncGenerator[Batch, None]:
        """Yield what is new from `start` on, and a batch with a new token after each poll.

        Args:
            late: ids of events that became readable late, to be taken out.
        """

    def _overlap_from(self) -> datetime:
        """Return the time before which everything is readable now."""
        # Without a majority, what was received after `confirmed_at` may become readable later.
        complete_until = min(self._clock(), self._confirmed_at())
        return truncate(complete_until) - timedelta(seconds=OVERLAP_SECONDS)

    async def _pause(self, changed: asyncio.Event) -> None:
        """Wait for the next poll.

        Args:
            changed: set when an event was stored since the last poll began.
        """
        least = min(_LEAST_PAUSE_SECONDS, self._poll_seconds)
        await asyncio.sleep(least)
        live = self._stream is not None and self._stream.live
        longest = LIVE_POLL_SECONDS if live else self._poll_seconds - least
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), longest)

    def _on_change(self, loop: asyncio.AbstractEventLoop, inserted: InsertedEvent | None) -> None:
        """Wake the event loop from the change stream's thread; once, until the loop has noticed."""
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            if inserted is not None and self._clock() - inserted.created_at > _LATE:
                loop.call_soon_threadsafe(self._remember_late, inserted.event_id)
            if not self._notified:  # a burst of inserts needs only one wake-up
                self._notified = True
                loop.call_soon_threadsafe(self._wake)

    def _remember_late(self, event_id: str) -> None:
        for late in self._late:
            late.append(event_id)

    def _wake(self) -> None:
        self._notified = False
        self._changed.set()
        self._changed = asyncio.Event()


class Watcher(PollingWatcher[WatchBatch]):
    """The watchers of `Events.Watch` and the console. See `PollingWatcher` for the options."""

    def __init__(self, events: EventQueries, open_stream: OpenChangeStream | None = None, **options: Any) -> None:
        super().__init__(open_stream, **options)
        self._events = events

    async def _poll(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], start: datetime, late: deque[str]
    ) -> AsyncGenerator[WatchBatch, None]:
        sent: dict[str, datetime] = {}
        while True:
            changed = self._changed
            overlap_from = self._overlap_from()
            async for found in self._found(scope, query, equals, start, late):
                new = [(event_id, received) for event_id, received in found if event_id not in sent]
                sent.update(new)
                for position in range(0, len(new), BATCH_ROWS):
                    some = new[position : position + BATCH_ROWS]
                    until = max(start, min(some[-1][1], overlap_from))
                    yield WatchBatch(
                        await self._whole(scope, [event_id for event_id, _ in some]), format_timestamp(until)
                    )
                # The next page begins at this one's last millisecond and the next poll at `overlap_from` or later: what
                # is before both is not found again and need not be remembered. A token may be years old.
                if found and (last := found[-1][1]) < overlap_from:
                    sent = {event_id: received for event_id, received in sent.items() if received >= last}
            start = max(start, overlap_from)
            sent = {event_id: received for event_id, received in sent.items() if received >= start}
            yield WatchBatch((), format_timestamp(start))
            await self._pause(changed)

    async def _found(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], start: datetime, late: deque[str]
    ) -> AsyncIterator[list[tuple[str, datetime]]]:
        """Yield pages of all that matches from `start` on, and of the late events."""
        async for page in self._pages(scope, query, equals, start):
            yield page
        while late:
            ids = [late.popleft() for _ in range(min(len(late), PAGE))]
            among = [*query.get("filter", ()), {"k": "event_id", "v": ids, "o": "in"}]
            async for page in self._pages(scope, {**query, "filter": among}, equals, _EPOCH):
                yield page

    async def _pages(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], start: datetime
    ) -> AsyncIterator[list[tuple[str, datetime]]]:
        """Yield pages of (event_id, received at) of all that matches from `start` on, oldest first."""
        skip = 0
        while True:
            since = {"k": "created_at", "v": format_timestamp(start), "o": "datetime_gte"}
            asked = {
                **query,
                "filter": [*query.get("filter", ()), since],
                "sort": [{"key": "created_at"}],
                "only": ["event_id", "created_at"],
                "page": {"start": skip + 1, "limit": PAGE},
            }
            page = await self._events.list(scope, asked, equals)
            rows = [event_pb2.EventInfo.FromString(row) for row in page.rows]
            yield [(row.event_id, parse_timestamp(row.created_at)) for row in rows]
            if len(rows) < PAGE:
                return
            # Continuing after the last one costs less than skipping, unless a whole page came in one millisecond.
            last = parse_timestamp(rows[-1].created_at)
            start, skip = (last, 0) if last > start else (start, skip + PAGE)

    async def _whole(self, scope: Scope, event_ids: Sequence[str]) -> list[bytes]:
        """Return the events as EventInfo bytes, without those that were deleted meanwhile."""
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
        raise InvalidArgument.at("resume_token", "is not valid") from None
