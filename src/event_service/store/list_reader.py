"""Reads pages of documents: the part of a list that does not depend on the resource."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import bson
from pymongo.collection import Collection

from event_service.query.fields import FieldPath, FieldSet
from event_service.query.list_query import ListQuery
from event_service.store import raw_batches
from event_service.store.compile import compile_projection, compile_sort
from event_service.store.compile_list import compile_list_rows, compile_unwind
from event_service.store.compile_stat import compile_count
from event_service.store.reply_limit import ReplyLimit

_MAX_LIMIT = 2**31 - 1  # of a find

Row = Mapping[str, Any]
Stages = list[dict[str, Any]]


class ListReader:
    """Pages of one collection. Blocking: for worker threads. Raises the driver's errors.

    Args:
        key: the field that every row has, also if it is not selected.
        max_time_ms: maxTimeMS of a query.
    """

    def __init__(
        self,
        collection: Collection[dict[str, Any]],
        fields: FieldSet,
        *,
        key: str,
        limit: ReplyLimit,
        max_time_ms: int,
    ) -> None:
        self._collection = collection
        self._fields = fields
        self._key = fields.path(key)
        self._limit = limit
        self._max_time_ms = max_time_ms

    def page(self, matching: dict[str, Any], query: ListQuery) -> tuple[list[Row], bool]:
        """Return the rows of a page, and whether the server's limit ended it.

        Args:
            matching: the query's filter, scope included.

        Raises:
            TooLarge: the page that the caller chose is too large.
        """
        limit = query.page.limit
        most = min(limit, _MAX_LIMIT) if limit else self._limit.rows + 1
        # The size as BSON approximates the size in the reply.
        return self._limit.page(self._rows(matching, query, most), limit, lambda row: len(bson.encode(row)))

    def count(self, matching: dict[str, Any], query: ListQuery) -> int:
        """Return the number of rows on all pages."""
        if query.unwind is None:
            return self._collection.count_documents(matching, maxTimeMS=self._max_time_ms)
        stages = compile_count([{"$match": matching}, *compile_unwind(query.unwind)])
        return next((int(row["f0"]) for row in self._aggregate(stages)), 0)

    def _rows(self, matching: dict[str, Any], query: ListQuery, limit: int) -> Iterator[Row]:
        only = query.only
        if only is not None:
            only = (*(path for path in only if path != self._key), self._key)
        if query.unwind or query.add_fields:
            stages = compile_list_rows(replace(query, only=only), self._fields, limit)
            return self._aggregate([{"$match": matching}, *stages])
        batches = self._collection.find_raw_batches(
            matching,
            None if only is None else compile_projection(only),
            sort=compile_sort(query.sort, self._fields),
            skip=query.page.skip,
            limit=limit,
            max_time_ms=self._max_time_ms,
        )
        return raw_batches.rows_of(batches)

    def _aggregate(self, stages: Stages) -> Iterator[Row]:
        return raw_batches.rows_of(raw_batches.aggregate(self._collection, stages, max_time_ms=self._max_time_ms))


def selected_names(only: tuple[FieldPath, ...]) -> list[str]:
    """Return the distinct fields that the selected paths lie in."""
    return list(dict.fromkeys(path.parts[0] for path in only))
