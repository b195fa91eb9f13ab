"""Everything that matches, oldest first, for `Events.Export`: read page by page, as fast as the caller takes it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from event_service.concurrency.thread_pool import RunInThread
from event_service.errors import InvalidArgument, Overloaded
from event_service.events.watch import refuse_all_but_conditions
from event_service.model.scope import Scope
from event_service.query.fields import EVENT_FIELDS
from event_service.query.filter import Where
from event_service.query.list_query import parse_list_query
from event_service.store.export_reader import Position
from event_service.wire.timestamps import parse_timestamp

MOST_EXPORTS = 32
"""Each may hold a page in memory, and a reading thread most of the time."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some events.

    Attributes:
        events: EventInfo bytes, oldest first; at least one.
        token: names the last of them.
    """

    events: Sequence[bytes]
    token: str


class Reader(Protocol):
    """What is needed of `store/export_reader.py`. Blocking."""

    def position_of(self, scope: Scope, created_at: datetime, event_id: str) -> Position: ...
    def page(self, scope: Scope, where: Where, position: Position) -> list[bytes]: ...


class Exporter:
    """Exports events.

    Args:
        run_in_thread: runs a blocking function in a worker thread.
        most: how many exports may run at once.
    """

    def __init__(self, reader: Reader, run_in_thread: RunInThread, *, most: int = MOST_EXPORTS) -> None:
        self._reader = reader
        self._aside = run_in_thread
        self._most = most
        self._running = 0

    async def export(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], token: str = ""
    ) -> AsyncGenerator[Part, None]:
        """What matches and is behind `token`. The next page is read when it is asked for, and not before.

        Args:
            query, equals: as `EventManager.list` takes them; of the query only conditions.

        Raises:
            InvalidArgument, QueryError: something else in the query, or no token of ours.
            Overloaded: too many exports are running.
            DeadlineExceeded, Unavailable: the database; go on with the last token.
        """
        refuse_all_but_conditions(query)
        where = parse_list_query(query, equals, EVENT_FIELDS).where
        last = _parse_token(token) if token else None
        if self._running >= self._most:
            raise Overloaded("Too many exports are running; ask again later.", retry_after=10.0)
        self._running += 1
        try:
            position = Position() if last is None else await self._aside(self._reader.position_of, scope, *last)
            while rows := await self._aside(self._reader.page, scope, where, position):
                yield Part(rows, position.token)
        finally:
            self._running -= 1


def _parse_token(token: str) -> tuple[datetime, str]:
    created_at, slash, event_id = token.partition("/")
    try:
        moment = parse_timestamp(created_at)
    except ValueError:
        slash = ""
    if not slash or not event_id:
        raise InvalidArgument.at("resume_token", "must be created_at and event_id of an event, with / between them")
    return moment, event_id
