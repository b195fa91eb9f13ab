"""Lists and statistics of webhooks. They never return access keys: neither digests nor those of upstream documents."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pymongo.collection import Collection

from event_service.model.scope import Scope
from event_service.model.webhook import Webhook, access_key_hash
from event_service.query.fields import WEBHOOK_FIELDS, FieldKind, FieldPath
from event_service.query.list_query import ListQuery
from event_service.query.stat_query import StatQuery
from event_service.store.client import caller_query
from event_service.store.compile import both, compile_filter
from event_service.store.documents import unescape_keys
from event_service.store.json_values import plain
from event_service.store.list_reader import ListReader, Row, selected_names
from event_service.store.projection import with_list
from event_service.store.reply_limit import ReplyLimit
from event_service.store.stat_reader import StatReader
from event_service.store.webhook_documents import webhook_of
from event_service.wire.timestamps import Clock, utc_now


@dataclass(frozen=True, slots=True)
class WebhookPage:
    """Rows of a list: whole webhooks, or `selected` if the query selects fields.

    Attributes:
        selected: (webhook_id, selected fields by name); webhook_url is "", since it holds an access key.
        total_count: number of matches on all pages.
        cut: a limit of the server ended the page, and more rows match.
    """

    webhooks: list[Webhook] = field(default_factory=list)
    selected: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    total_count: int = 0
    cut: bool = False


class WebhookReader:
    """Webhooks of one collection, always within a scope. Blocking: for worker threads.

    Args:
        max_time_ms: maxTimeMS of a query.
    """

    def __init__(
        self, collection: Collection[dict[str, Any]], *, limit: ReplyLimit, max_time_ms: int, clock: Clock = utc_now
    ) -> None:
        self._max_time_ms = max_time_ms
        self._clock = clock
        # The URL is made from the id; callers drop the id unless it was selected.
        self._lists = ListReader(collection, WEBHOOK_FIELDS, key="webhook_id", limit=limit, max_time_ms=max_time_ms)
        self._statistics = StatReader(collection, WEBHOOK_FIELDS, max_time_ms=max_time_ms, max_bytes=limit.size)

    def list(self, scope: Scope, query: ListQuery, access_key: str = "") -> WebhookPage:
        """Return a page of webhooks.

        Args:
            access_key: only webhooks with this valid key; "" for all.

        Raises:
            QueryError: the data does not suit the query.
            TooLarge: the page that the caller chose is too large.
            QueryTimeout, Unavailable: the database failed.
        """
        matching = compile_filter(scope, query.where)
        if access_key:
            matching = both(matching, _with_key(access_key, self._clock()))
        with caller_query(self._max_time_ms):
            total = self._lists.count(matching, query)
            if query.count_only:
                return WebhookPage(total_count=total)
            rows, cut = self._lists.page(matching, query)
        if query.only is None:
            return WebhookPage([webhook_of(row) for row in rows], total_count=total, cut=cut)
        selected = [_selected(row, query.only, query.unwind.path if query.unwind else None) for row in rows]
        return WebhookPage(selected=selected, total_count=total, cut=cut)

    def stat(self, scope: Scope, query: StatQuery) -> dict[str, Any]:
        """Return the reply to a statistics query, as JSON. See `StatReader.stat`."""
        return self._statistics.stat(scope, query)


def _with_key(access_key: str, now: datetime) -> dict[str, Any]:
    digest = access_key_hash(access_key)
    return {
        "$or": [
            {"access_key_hashes.0": digest},  # the current key; a rotation keeps the previous one behind it
            {"access_key_hashes": digest, "previous_key_expires_at": {"$gt": now}},
            {"access_key": {"$eq": access_key}},
        ]
    }


def _selected(row: Row, only: tuple[FieldPath, ...], unwound: FieldPath | None) -> tuple[str, dict[str, Any]]:
    """Return webhook_id and the selected fields; an unwound array holds one element."""
    fields: dict[str, Any] = {}
    for name in selected_names(only):
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
