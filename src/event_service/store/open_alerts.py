"""Queries over the open alerts of all tenants, for upkeep and metrics; no caller sees their results."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from event_service.model.condition import AlertState
from event_service.model.event import Severity
from event_service.model.scope import Scope
from event_service.model.webhook import AUTO_RESOLVE, LONGEST_AUTO_RESOLVE_HOURS
from event_service.store import indexes
from event_service.store.alert_documents import LAST_EVENT_AT
from event_service.store.client import Database
from event_service.store.compile import compile_scope
from event_service.store.driver_errors import database_errors

_OPEN = {"$in": [state.value for state in AlertState if state is not AlertState.RESOLVED]}
_MOST = 1000  # alerts without news of one webhook in one look-up


class OpenCount(NamedTuple):
    """Open alerts of one severity and webhook.

    Attributes:
        webhook_id: "" for alerts that people have created.
        oldest: when the oldest was opened, aware UTC; None if unknown.
    """

    severity: str
    webhook_id: str
    number: int
    oldest: datetime | None


class StaleAlert(NamedTuple):
    """An open alert without news.

    Attributes:
        before: its newest event is older than this, aware UTC.
    """

    scope: Scope
    alert_id: str
    before: datetime


class OpenAlerts:
    """Open alerts of all tenants. Blocking: for worker threads."""

    def __init__(self, database: Database, timeout_ms: int) -> None:
        self._alerts = database[indexes.ALERT]
        self._webhooks = database[indexes.WEBHOOK]
        self._timeout_ms = timeout_ms

    def counts(self) -> list[OpenCount]:
        """Count open alerts by severity and webhook.

        Raises:
            Unavailable: the database failed.
        """
        group = {"_id": {"severity": "$severity", "webhook_id": "$webhook_id"}, "number": {"$sum": 1}}
        group["oldest"] = {"$min": "$created_at"}
        with database_errors():
            rows = self._alerts.aggregate([{"$match": {"state": _OPEN}}, {"$group": group}], maxTimeMS=self._timeout_ms)
            return [_count(row) for row in rows]

    def stale(self, now: datetime) -> Iterator[StaleAlert]:
        """Yield open alerts whose newest event is older than their webhook's `auto_resolve_hours`.

        Raises:
            Unavailable: the database failed.
        """
        option = f"plugin_info.options.{AUTO_RESOLVE}"
        owner = {"webhook_id": True, "domain_id": True, "workspace_id": True, option: True}
        with database_errors():
            # Validated on write, but a document of upstream may hold anything.
            resolving = {option: {"$gt": 0, "$lte": LONGEST_AUTO_RESOLVE_HOURS}, "domain_id": {"$type": "string"}}
            for webhook in list(self._webhooks.find(resolving, owner, max_time_ms=self._timeout_ms)):
                before = now - timedelta(hours=webhook["plugin_info"]["options"][AUTO_RESOLVE])
                scope = Scope(webhook["domain_id"], webhook.get("workspace_id"))
                matching: dict[str, Any] = {
                    "state": _OPEN,
                    **compile_scope(scope),
                    "webhook_id": webhook["webhook_id"],
                    "created_at": {"$lt": before},  # bounds of the index
                    LAST_EVENT_AT: {"$lt": before},
                }
                found = self._alerts.find(matching, {"alert_id": True}, limit=_MOST, max_time_ms=self._timeout_ms)
                for row in list(found):
                    yield StaleAlert(scope, row["alert_id"], before)


def _count(row: dict[str, Any]) -> OpenCount:
    group, oldest = row["_id"], row["oldest"]
    severity, webhook_id = group.get("severity"), str(group.get("webhook_id") or "")
    if severity not in set(Severity):  # a label has known values only
        severity = Severity.NONE.value
    return OpenCount(severity, webhook_id, row["number"], oldest if isinstance(oldest, datetime) else None)
