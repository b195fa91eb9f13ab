"""Read events: validate the query, then read within the caller's scope."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from event_service.concurrency.thread_pool import RunInThread
from event_service.errors import NotFound, RequiredParameter
from event_service.model.scope import Scope
from event_service.query.fields import EVENT_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.size import parse_query
from event_service.query.stat_query import parse_stat_query
from event_service.store.event_reader import Page, SharedEventReader
from event_service.wire.timestamps import Clock, utc_now

T = TypeVar("T")


class EventQueries:
    """The read side of `EventManager`.

    Args:
        run_in_thread: parses large queries; None = in the event loop.
    """

    def __init__(
        self, reader: SharedEventReader, run_in_thread: RunInThread | None = None, *, clock: Clock = utc_now
    ) -> None:
        self._reader = reader
        self._run_in_thread = run_in_thread
        self._clock = clock

    async def get(self, scope: Scope, event_id: str) -> bytes:
        """Return one event as EventInfo bytes.

        Raises:
            RequiredParameter: no event_id.
            NotFound: not found in this scope.
        """
        if not event_id:
            raise RequiredParameter("event_id")
        wire = await self._reader.get(scope, event_id)
        if wire is None:
            raise NotFound("event_id", event_id)
        return wire

    async def list(self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str]) -> Page:
        """Return matching events as EventInfo bytes; see `query/list_query.py` for the language and its errors.

        Args:
            equals: field -> value, the request's fields beside the query.
        """
        parsed = await parse_query(self._run_in_thread, parse_list_query, query, equals, EVENT_FIELDS, self._clock())
        return await self._reader.list(scope, parsed)

    async def stat(self, scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
        """Return aggregated values as the reply's JSON; see `query/stat_query.py` for the language and its errors."""
        return await self.encoded_stat(scope, query, lambda reply: reply)

    async def encoded_stat(self, scope: Scope, query: Mapping[str, Any], encode: Callable[[dict[str, Any]], T]) -> T:
        """Return the reply of `stat`, encoded in the thread that read it."""
        parsed = await parse_query(self._run_in_thread, parse_stat_query, query, EVENT_FIELDS, self._clock())
        return await self._reader.stat(scope, parsed, encode)
