"""Stream all matching events for `Events.Export`, oldest first, one page at a time."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from event_service.concurrency.shares import Shares
from event_service.concurrency.thread_pool import RunInThreadFor, T, Ts
from event_service.errors import InvalidArgument, Overloaded
from event_service.events.watch import refuse_all_but_conditions
from event_service.model.scope import Scope
from event_service.query.fields import EVENT_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.size import parse_query
from event_service.store.export_reader import ExportReader, Position
from event_service.wire.timestamps import Clock, parse_timestamp, utc_now

MOST_EXPORTS = 32
"""Of one domain. Each may hold a page in memory; a reading thread only while it reads one."""


@dataclass(frozen=True, slots=True)
class Part:
    """One page of an export.

    Attributes:
        events: EventInfo bytes, oldest first; at least one.
        token: resume token, names the last of them.
    """

    events: Sequence[bytes]
    token: str


class Exporter:
    """The exports of `Events.Export`.

    Args:
        run_in_thread: runs a blocking function in a worker thread, for a domain.
        most: exports of a domain that may run concurrently, if no other domain has any; see `Shares`.
    """

    def __init__(
        self, reader: ExportReader, run_in_thread: RunInThreadFor, *, most: int = MOST_EXPORTS, clock: Clock = utc_now
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._run_in_thread = run_in_thread
        self._running = Shares(2 * most)

    async def export(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], token: str = ""
    ) -> AsyncGenerator[Part, None]:
        """Yield the pages of matching events after `token`. A page is read only when it is asked for.

        Args:
            query, equals: as `EventQueries.list` takes them; the query may hold conditions only.

        Raises:
            InvalidArgument, QueryError: the query holds something else, or the token is not valid.
            Overloaded: too many exports of the domain are running.
            QueryTimeout, Unavailable: of the database; resume with the last token.
        """
        refuse_all_but_conditions(query)
        domain_id = scope.domain_id

        def in_thread(function: Callable[[*Ts], T], *arguments: *Ts) -> Awaitable[T]:
            return self._run_in_thread(domain_id, function, *arguments)

        parsed = await parse_query(in_thread, parse_list_query, query, equals, EVENT_FIELDS, self._clock())
        where = parsed.where
        last = _parse_token(token) if token else None
        if not self._running.fits(domain_id):
            raise Overloaded("Too many exports of this domain are running; send again later.", retry_after=10.0)
        with self._running.taken(domain_id):
            position = Position() if last is None else await in_thread(self._reader.position_of, scope, *last)
            while rows := await in_thread(self._reader.page, scope, where, position):
                yield Part(rows, position.token)


def _parse_token(token: str) -> tuple[datetime, str]:
    created_at, slash, event_id = token.partition("/")
    try:
        moment = parse_timestamp(created_at)
    except ValueError:
        slash = ""
    if not slash or not event_id:
        raise InvalidArgument.at("resume_token", "must be created_at and event_id of an event, with / between them")
    return moment, event_id
