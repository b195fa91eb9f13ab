"""Lists and statistics of webhooks. No key leaves, neither as digest nor as an upstream document has it in clear."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import bson
from pymongo.collection import Collection

from event_service.model.scope import Scope
from event_service.model.webhook import Webhook, access_key_hash
from event_service.query.fields import WEBHOOK_FIELDS, FieldKind, FieldPath
from event_service.query.list_query import ListQuery
from event_service.query.stat_query import StatQuery
from event_service.store.client import caller_query
from event_service.store.compile import both, compile_filter, compile_projection, compile_sort
from event_service.store.compile_list import compile_list_rows, compile_unwind
from event_service.store.compile_stat import compile_count
from event_service.store.documents import unescape_keys
from event_service.store.json_values import plain
from event_service.store.projection import with_list
from event_service.store.stat_reader import StatReader
from event_service.store.webhook_documents import webhook_of

MAX_REPLY_BYTES = 4 * 1024 * 1024
"""What rows may come to where no limit was asked for: gRPC clients take 4 MiB unless they are told otherwise."""

_SERVER_ROWS = 2**31 - 1

Row = Mapping[str, Any]
Rows = list[Row]
Stages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class WebhookPage:
    """Rows of a list: whole webhooks, or where fields were selected, those.

    Attributes:
        selected: webhook_id and the selected fields by name, of which webhook_url is only named, since it holds a key.
        total_count: all that match, whatever the page.
        cut: the server's own bound ended the page; there would be more.
    """

    webhooks: list[Webhook] = field(default_factory=list)
    selected: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    total_count: int = 0
    cut: bool = False


class WebhookReader:
    """Webhooks of one collection, always within a scope. Blocking: for worker threads.

    Args:
        list_limit: rows of a list that asks for no number.
        max_time_ms: after this the server gives a query up.
    """

    def __init__(
        self,
        collection: Collection[dict[str, Any]],
        *,
        list_limit: int,
        max_time_ms: int,
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        self._collection = collection
        self._list_limit = list_limit
        self._max_time_ms = max_time_ms
        self._max_reply_bytes = max_reply_bytes
        self._statistics = StatReader(collection, WEBHOOK_FIELDS, max_time_ms=max_time_ms)

    def list(self, scope: Scope, query: ListQuery, access_key: str = "") -> WebhookPage:
        """A page of webhooks.

        Args:
            access_key: only webhooks that this key opens now; "" = any.

        Raises:
            QueryError: the data does not allow the query.
            DeadlineExceeded, Unavailable: the database.
        """
        matching = compile_filter(scope, query.where)
        if access_key:
            matching = both(matching, _opened_by(access_key, datetime.now(UTC)))
        with caller_query(self._max_time_ms):
            total = self._count(matching, query)
            if query.count_only:
                return WebhookPage(total_count=total)
            rows, cut = self._page(matching, query)
        if query.only is None:
            return WebhookPage([webhook_of(row) for row in rows], total_count=total, cut=cut)
        selected = [_selected(row, query.only, query.unwind.path if query.unwind else None) for row in rows]
        return WebhookPage(selected=selected, total_count=total, cut=cut)

    def stat(self, scope: Scope, query: StatQuery) -> dict[str, Any]:
        """The reply to a statistics query, as JSON. See `StatReader.stat`."""
        return self._statistics.stat(scope, query)

    def _page(self, matching: dict[str, Any], query: ListQuery) -> tuple[Rows, bool]:
        if query.page.limit:
            limit = min(query.page.limit, _SERVER_ROWS)
            return [*islice(self._rows(matching, query, limit), limit)], False
        rows: Rows = []
        size = 0
        for row in self._rows(matching, query, self._list_limit + 1):
            # What a document weighs as BSON is near enough to what it weighs in the reply.
            size += len(bson.encode(row))
            if len(rows) == self._list_limit or (rows and size > self._max_reply_bytes):
                return rows, True
            rows.append(row)
        return rows, False

    def _rows(self, matching: dict[str, Any], query: ListQuery, limit: int) -> Iterable[Row]:
        only = query.only
        if only is not None:
            # The id is needed to show a URL; it is not shown itself unless it was asked for.
            only = (*(path for path in only if path.parts != ("webhook_id",)), WEBHOOK_FIELDS.path("webhook_id"))
        if query.unwind or query.add_fields:
            stages = compile_list_rows(replace(query, only=only), WEBHOOK_FIELDS, limit)
            return self._aggregate([{"$match": matching}, *stages])
        return self._collection.find(
            matching,
            None if only is None else compile_projection(only),
            sort=compile_sort(query.sort, WEBHOOK_FIELDS),
            skip=query.page.skip,
            limit=limit,
            max_time_ms=self._max_time_ms,
        )

    def _count(self, matching: dict[str, Any], query: ListQuery) -> int:
        if query.unwind is None:
            return self._collection.count_documents(matching, maxTimeMS=self._max_time_ms)
        stages = compile_count([{"$match": matching}, *compile_unwind(query.unwind)])
        return next((int(row["f0"]) for row in self._aggregate(stages)), 0)

    def _aggregate(self, stages: Stages) -> Iterable[Row]:
        return self._collection.aggregate(stages, maxTimeMS=self._max_time_ms, allowDiskUse=True)


def _opened_by(access_key: str, now: datetime) -> dict[str, Any]:
    digest = access_key_hash(access_key)
    return {
        "$or": [
            {"access_key_hashes.0": digest},
            {"access_key_hashes": digest, "previous_key_expires_at": {"$gt": now}},
            {"access_key": {"$eq": access_key}},
        ]
    }


def _selected(row: Row, only: tuple[FieldPath, ...], unwound: FieldPath | None) -> tuple[str, dict[str, Any]]:
    """The selected fields of a document. A list that was taken apart is there with its one element."""
    fields: dict[str, Any] = {}
    for name in dict.fromkeys(path.parts[0] for path in only):
        kind, value = WEBHOOK_FIELDS.kinds[name], row.get(name)
        if unwound is not None and unwound.parts[0] == name and len(unwound.parts) > 1:
            value = with_list(value, unwound.parts[1:])
        if name == "webhook_url":
            fields[name] = ""
        elif kind is FieldKind.DYNAMIC:
            fields[name] = unescape_keys(value) if isinstance(value, Mapping) else {}
        elif kind is FieldKind.DATE:
            fields[name] = value if isinstance(value, datetime) else None
        elif value is not None:
            fields[name] = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
    return str(row.get("webhook_id", "")), fields
