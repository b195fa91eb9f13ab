"""The event reader for an event loop: reads run in worker threads.

Gets that come while a look-up is under way share the next one. Nothing is cached: each answer was read after its
question came in. Equal lists and statistics are shared before they get here, see `rpc/sharing.py`.
"""

from collections.abc import Awaitable
from typing import Any

from event_service.model.scope import Scope
from event_service.query.list_query import ListQuery
from event_service.query.stat_query import StatQuery
from event_service.store.event_reader import EventReader, Page
from event_service.store.natural_batches import NaturalBatches
from event_service.store.threads import Threads


class SharedEventReader:
    """See `EventReader` for what is read and what is raised."""

    def __init__(self, reader: EventReader, threads: Threads) -> None:
        self._reader = reader
        self._threads = threads
        self._gets: NaturalBatches[Scope, str, bytes | None] = NaturalBatches(threads, reader.get_many)

    def get(self, scope: Scope, event_id: str) -> Awaitable[bytes | None]:
        """One event."""
        return self._gets.submit(scope, event_id)

    def list(self, scope: Scope, query: ListQuery) -> Awaitable[Page]:
        """A page."""
        return self._threads.run(self._reader.list, scope, query)

    def stat(self, scope: Scope, query: StatQuery) -> Awaitable[dict[str, Any]]:
        """A statistic."""
        return self._threads.run(self._reader.stat, scope, query)
