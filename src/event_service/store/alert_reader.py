"""Reads alerts: get, list and stat. Blocking: for worker threads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from event_service.model.scope import Scope
from event_service.query.fields import ALERT_FIELDS, FieldKind, FieldPath
from event_service.query.list_query import ListQuery
from event_service.query.stat_query import StatQuery
from event_service.store import indexes
from event_service.store.alert_documents import EVENT_COUNT, FIRST_EVENT_AT, LAST_EVENT_AT, resource_fields
from event_service.store.client import Database, caller_query
from event_service.store.compile import compile_filter, compile_scope
from event_service.store.compile_list import compile_unwind
from event_service.store.documents import unescape_keys
from event_service.store.json_values import plain
from event_service.store.list_reader import ListReader, Row, selected_names
from event_service.store.projection import with_list
from event_service.store.reply_limit import DEFAULT_LIMIT, ReplyLimit
from event_service.store.stat_reader import StatReader
from event_service.store.totals.event_totals import CountCache

_KINDS = tuple(ALERT_FIELDS.kinds.items())
_ALWAYS_SET: Mapping[str, Any] = {"resources": [], "additional_info": {}}


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Rows of a list.

    Attributes:
        rows: fields of AlertInfo by name; only the selected ones.
        total_count: number of matches on all pages.
        cut: the server's limit ended the page, and more rows match.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    total_count: int = 0
    cut: bool = False


class AlertEvents(NamedTuple):
    """The events of one alert.

    Attributes:
        number: of all events that it has had, also of deleted ones.
        first_at, last_at: when the first and the newest were received; None without events.
        opened_at, resolved_at: of the alert; None if unknown, or open.
        resolved_by: a ResolutionReason; "" if open, or unknown.
    """

    number: int
    first_at: datetime | None
    last_at: datetime | None
    opened_at: datetime | None
    resolved_at: datetime | None
    resolved_by: str


class AlertReader:
    """The read side of the `alert` collection, always within a scope.

    Args:
        max_time_ms: maxTimeMS of a query.
    """

    def __init__(self, database: Database, *, limit: ReplyLimit = DEFAULT_LIMIT, max_time_ms: int = 10_000) -> None:
        self._alerts = database[indexes.ALERT]
        self._max_time_ms = max_time_ms
        self._lists = ListReader(self._alerts, ALERT_FIELDS, key="alert_id", limit=limit, max_time_ms=max_time_ms)
        self._statistics = StatReader(self._alerts, ALERT_FIELDS, max_time_ms=max_time_ms, max_bytes=limit.size)
        self._counts = CountCache()

    def get(self, scope: Scope, alert_id: str) -> dict[str, Any] | None:
        """Return the fields of AlertInfo of one alert, or None if the scope has no such alert.

        Raises:
            QueryTimeout, Unavailable: the database failed.
        """
        with caller_query(self._max_time_ms):
            row = self._alerts.find_one({"alert_id": alert_id, **compile_scope(scope)}, max_time_ms=self._max_time_ms)
        return None if row is None else alert_fields(row)

    def events(self, scope: Scope, alert_ids: Sequence[str]) -> dict[str, AlertEvents]:
        """Return the events of the alerts that the scope has, by alert_id.

        Raises:
            QueryTimeout, Unavailable: the database failed.
        """
        matching = {"alert_id": {"$in": list(set(alert_ids))}, **compile_scope(scope)}
        fields = dict.fromkeys(
            ("alert_id", EVENT_COUNT, FIRST_EVENT_AT, LAST_EVENT_AT, "created_at", "resolved_at", "resolved_by"), True
        )
        with caller_query(self._max_time_ms):
            rows = self._alerts.find(matching, fields, max_time_ms=self._max_time_ms)
            return {row["alert_id"]: _events(row) for row in rows}

    def list(self, scope: Scope, query: ListQuery) -> AlertPage:
        """Return a page of alerts.

        Raises:
            QueryError: the data does not suit the query.
            QueryTimeout, Unavailable: the database failed.
        """
        matching = compile_filter(scope, query.where)
        with caller_query(self._max_time_ms):
            if query.count_only:
                return AlertPage(total_count=self._total(matching, query))
            found, cut = self._lists.page(matching, query)
            limit, skip = query.page.limit, query.page.skip
            if not cut and (limit is None or len(found) < limit) and (found or not skip):
                total = skip + len(found)  # the page has the last match
            else:
                total = self._total(matching, query)
        if query.only is None:
            return AlertPage([alert_fields(row) for row in found], total, cut)
        unwound = query.unwind.path if query.unwind else None
        return AlertPage([_selected(row, query.only, unwound) for row in found], total, cut)

    def stat(self, scope: Scope, query: StatQuery) -> dict[str, Any]:
        """Return the reply to a statistics query, as JSON. See `StatReader.stat`."""
        return self._statistics.stat(scope, query)

    def changed(self) -> None:
        """Invalidate cheap cached counts, so that a writer sees its own writes."""
        self._counts.changed()

    def _total(self, matching: dict[str, Any], query: ListQuery) -> int:
        stages: list[dict[str, Any]] = [{"$match": matching}]
        if query.unwind:
            stages += compile_unwind(query.unwind)
        return self._counts.get(stages, lambda: self._lists.count(matching, query))


def _events(row: Row) -> AlertEvents:
    def moment(name: str) -> datetime | None:
        value = row.get(name)
        return value if isinstance(value, datetime) else None

    number = row.get(EVENT_COUNT)
    return AlertEvents(
        number=number if isinstance(number, int) else 0,
        first_at=moment(FIRST_EVENT_AT),
        last_at=moment(LAST_EVENT_AT),
        opened_at=moment("created_at"),
        resolved_at=moment("resolved_at"),
        resolved_by=str(row.get("resolved_by") or ""),
    )


def alert_fields(row: Row) -> dict[str, Any]:
    """Return all fields of AlertInfo of a document. additional_info is always there."""
    fields = dict(_ALWAYS_SET)
    for name, kind in _KINDS:
        value = row.get(name)
        if kind is FieldKind.TEXT and type(value) is str:  # nearly all
            fields[name] = value
        elif value is not None:
            fields[name] = _value(name, value)
    return fields


def _selected(row: Row, only: tuple[FieldPath, ...], unwound: FieldPath | None) -> dict[str, Any]:
    """Return the selected fields; an unwound array holds one element."""
    fields: dict[str, Any] = {}
    for name in selected_names(only):
        value = row.get(name)
        if unwound is not None and unwound.parts[0] == name:
            value = with_list(value, unwound.parts[1:])
        shown = _value(name, value)
        fields[name] = _ALWAYS_SET.get(name) if shown is None else shown
    return fields


def _value(name: str, value: Any) -> Any:
    """Return the value of a field as AlertInfo holds it, None for one that it cannot hold."""
    if value is None:
        return None
    if name == "resources":
        return resource_fields(value)
    kind = ALERT_FIELDS.kinds[name]
    if kind is FieldKind.DYNAMIC:
        return unescape_keys(value) if isinstance(value, Mapping) else None
    if kind is FieldKind.DATE:
        return value if isinstance(value, datetime) else None
    if kind is FieldKind.NUMBER:
        return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    return value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
