"""The console over managers that keep everything in memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from starlette.routing import Router

from event_service.alerts.watch import AlertWatcher
from event_service.errors import EventServiceError, NotFound
from event_service.events.watch import Watcher
from event_service.http.console import console_routes
from event_service.http.middleware import with_middleware
from event_service.identity.principal import Role
from event_service.model.activity import Activity
from event_service.model.scope import Scope
from event_service.model.webhook import PluginInfo, Webhook
from event_service.query.fields import ALERT_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.store.alert_reader import AlertEvents, AlertPage
from event_service.wire.event_info import encode_event_info
from tests.unit.configured import configured
from tests.unit.http.fakes import FakeAuthenticator, FakeEvents, FakeWebhooks

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def event(event_id: str = "event-1", **fields: Any) -> bytes:
    """Return EventInfo bytes."""
    return encode_event_info(
        {
            "event_id": event_id,
            "event_type": "ALERT",
            "title": "disk full",
            "severity": "CRITICAL",
            "webhook_id": "webhook-1",
            "created_at": NOW,
            "raw_data": {"a": 1},
            **fields,
        }
    )


def webhook(name: str = "prometheus", **fields: Any) -> Webhook:
    return Webhook(
        webhook_id="webhook-1",
        name=name,
        domain_id="domain-1",
        workspace_id="workspace-1",
        project_id="project-1",
        plugin=PluginInfo("alertmanager"),
        created_at=NOW,
        requests_total=7,
        requests_error=2,
        **fields,
    )


def alert(alert_id: str = "alert-1", **fields: Any) -> dict[str, Any]:
    """Return fields of AlertInfo."""
    return {
        "alert_id": alert_id,
        "alert_number": 7,
        "title": "disk full",
        "state": "TRIGGERED",
        "severity": "CRITICAL",
        "resources": [{"name": "web-1"}],
        "webhook_id": "webhook-1",
        "triggered_by": "webhook-1",
        "created_at": NOW - timedelta(minutes=5),
        "updated_at": NOW,
        "additional_info": {},
        **fields,
    }


@dataclass
class FakeAlerts:
    """Alerts in memory. Queries are parsed by the real grammar, and remembered.

    Attributes:
        statistics: rows of stat; a query gets those with its keys.
        resolved_by: of every alert.
        failures: errors of `update` by alert_id.
        updates: what `update` has stored: user id, alert id, state.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    statistics: list[dict[str, Any]] = field(default_factory=list)
    resolved_by: str = ""
    failures: dict[str, EventServiceError] = field(default_factory=dict)
    updates: list[tuple[str, str, str]] = field(default_factory=list)
    queries: list[Mapping[str, Any]] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)

    async def get(self, scope: Scope, alert_id: str) -> dict[str, Any]:
        for row in self.rows:
            if row["alert_id"] == alert_id:
                return row
        raise NotFound("alert_id", alert_id)

    async def list(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, Any], *, counted: bool = True
    ) -> AlertPage:
        parse_list_query(query, equals, ALERT_FIELDS)
        self.scopes.append(scope)
        self.queries.append(query)
        start = query["page"]["start"] - 1
        return AlertPage(self.rows[start : start + query["page"]["limit"]])

    async def events(self, scope: Scope, alert_ids: Sequence[str]) -> dict[str, AlertEvents]:
        return {one: AlertEvents(3, NOW, NOW, NOW, None, self.resolved_by) for one in alert_ids}

    async def stat(self, scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
        parse_stat_query(query, ALERT_FIELDS)
        keys = {key["n"] for stage in query["aggregate"] for key in stage.get("group", {}).get("keys", ())}
        return {"results": [row for row in self.statistics if set(row) == keys | {"count"}]}

    async def update(self, scope: Scope, user_id: str, alert_id: str, *, state: str) -> dict[str, Any]:
        if alert_id in self.failures:
            raise self.failures[alert_id]
        self.updates.append((user_id, alert_id, state))
        return await self.get(scope, alert_id)


@dataclass
class Console:
    """The console and its dependencies."""

    auth: str = "none"
    role: Role = Role.WORKSPACE_OWNER
    events: FakeEvents = field(default_factory=FakeEvents)
    webhooks: FakeWebhooks = field(default_factory=lambda: FakeWebhooks(webhook()))
    is_ready: Callable[[], bool] = lambda: True
    alerts: FakeAlerts = field(default_factory=FakeAlerts)

    def __post_init__(self) -> None:
        self.authenticator = FakeAuthenticator(self.auth != "none", self.role)

    def client(self, host: str = "http://127.0.0.1:8080") -> httpx.AsyncClient:
        settings = configured(auth=self.auth)
        routes = console_routes(
            settings,
            events=self.events,
            webhooks=self.webhooks,
            authenticator=self.authenticator,
            watcher=Watcher(self.events, poll_seconds=0.001, clock=lambda: NOW),
            alerts=self.alerts,
            alert_watcher=AlertWatcher(self.alerts, poll_seconds=0.001, clock=lambda: NOW),
            is_ready=self.is_ready,
            version="0",
            clock=lambda: NOW,
        )
        app = with_middleware(Router(routes, redirect_slashes=False))
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=host)


def busy_webhook() -> Webhook:
    """Return a webhook with a last error."""
    activity = Activity(last_received_at=NOW, last_error_at=NOW, last_error="<b>not JSON</b>")
    return webhook(activity=activity)
