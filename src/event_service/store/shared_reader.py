"""The event reader for an event loop: reads run in worker threads, and concurrent ones share queries.

Gets that come while a look-up is under way share the next one. Equal lists and statistics share one query, as many
dashboards ask. Nothing is cached: each answer was read after its question came in.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from event_service.model.scope import Scope
from event_service.query.list_query import ListQuery
from event_service.query.stat_query import StatQuery
from event_service.store.event_reader import EventReader, Page
from event_service.store.natural_batches import NaturalBatches
from event_service.store.threads import Threads

_Question = tuple[Scope, str]


class SharedEventReader:
    """See `EventReader` for what is read and what is raised."""

    def __init__(self, reader: EventReader, threads: Threads) -> None:
        self._gets: NaturalBatches[Scope, str, bytes | None] = NaturalBatches(threads, reader.get_many)
        self._lists: NaturalBatches[_Question, ListQuery, Page] = NaturalBatches(
            threads, _once(lambda question, query: reader.list(question[0], query))
        )
        self._stats: NaturalBatches[_Question, StatQuery, dict[str, Any]] = NaturalBatches(
            threads, _once(lambda question, query: reader.stat(question[0], query))
        )

    def get(self, scope: Scope, event_id: str) -> Awaitable[bytes | None]:
        """One event."""
        return self._gets.submit(scope, event_id)

    def list(self, scope: Scope, query: ListQuery, asked: Mapping[str, Any]) -> Awaitable[Page]:
        """A page.

        Args:
            asked: the query as the caller put it. Two are the same if their JSON is: trees compare 1 equal to true.
        """
        return self._lists.submit((scope, _text(asked)), query)

    def stat(self, scope: Scope, query: StatQuery, asked: Mapping[str, Any]) -> Awaitable[dict[str, Any]]:
        """A statistic; `asked` as for `list`."""
        return self._stats.submit((scope, _text(asked)), query)


def _text(asked: Mapping[str, Any]) -> str:
    return json.dumps(asked, default=repr)


def _once(read: Callable[[_Question, Any], Any]) -> Callable[[_Question, Sequence[Any]], Sequence[Any]]:
    """One answer for all who ask the same."""

    def ask(question: _Question, queries: Sequence[Any]) -> Sequence[Any]:
        return [read(question, queries[-1])] * len(queries)

    return ask
