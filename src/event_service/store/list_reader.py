"""Reads pages of documents: the part of a list that does not depend on the resource."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import bson
from pymongo.collection import Collection

from event_service.query.fields import FieldPath, FieldSet
from event_service.query.list_query import ListQuery
from event_service.store.compile import compile_projection, compile_sort
from event_service.store.compile_list import compile_list_rows, compile_unwind
from event_service.store.compile_stat import compile_count

MAX_REPLY_BYTES = 4 * 1024 * 1024
"""Limit of a page that no limit was given for: by default gRPC clients accept messages of 4 MiB."""

_MAX_LIMIT = 2**31 - 1  # of a find

Row = Mapping[str, Any]
Stages = list[dict[str, Any]]


class ListReader:
    """Pages of one collection. Blocking: for worker threads. Raises the driver's errors.

    Args:
        key: the field that every row has, also if it is not selected.
        list_limit: maximum number of rows of a list without a limit.
        max_time_ms: maxTimeMS of a query.
        max_reply_bytes: maximum size of the rows of a list without a limit.
    """

    def __init__(
        self,
        collection: Collection[dict[str, Any]],
        fields: FieldSet,
        *,
        key: str,
        list_limit: int,
        max_time_ms: int,
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        self._collection = collection
        self._fields = fields
        self._key = fields.path(key)
        self._list_limit = list_limit
        self._max_time_ms = max_time_ms
        self._max_reply_bytes = max_reply_bytes

    def page(self, matching: dict[str, Any], query: ListQuery) -> tuple[list[Row], bool]:
        """Return the rows of a page, and whether the server's limit ended it.

        Args:
            matching: the query's filter, scope included.
        """
        if query.page.limit:
            limit = min(query.page.limit, _MAX_LIMIT)
            return [*islice(self._rows(matching, query, limit), limit)], False
        rows: list[Row] = []
        size = 0
        for row in self._rows(matching, query, self._list_limit + 1):
            # The size as BSON approximates the size in the reply.
            size += len(bson.encode(row))
            if len(rows) == self._list_limit or (rows and size > self._max_reply_bytes):
                return rows, True
            rows.append(row)
        return rows, False

    def count(self, matching: dict[str, Any], query: ListQuery) -> int:
        """Return the number of rows on all pages."""
        if query.unwind is None:
            return self._collection.count_documents(matching, maxTimeMS=self._max_time_ms)
        stages = compile_count([{"$match": matching}, *compile_unwind(query.unwind)])
        return next((int(row["f0"]) for row in self._aggregate(stages)), 0)

    def _rows(self, matching: dict[str, Any], query: ListQuery, limit: int) -> Iterable[Row]:
        only = query.only
        if only is not None:
            only = (*(path for path in only if path != self._key), self._key)
        if query.unwind or query.add_fields:
            stages = compile_list_rows(replace(query, only=only), self._fields, limit)
            return self._aggregate([{"$match": matching}, *stages])
        return self._collection.find(
            matching,
            None if only is None else compile_projection(only),
            sort=compile_sort(query.sort, self._fields),
            skip=query.page.skip,
            limit=limit,
            max_time_ms=self._max_time_ms,
        )

    def _aggregate(self, stages: Stages) -> Iterable[Row]:
        return self._collection.aggregate(stages, maxTimeMS=self._max_time_ms, allowDiskUse=True)


def selected_names(only: tuple[FieldPath, ...]) -> list[str]:
    """Return the distinct fields that the selected paths lie in."""
    return list(dict.fromkeys(path.parts[0] for path in only))
