"""The console over managers that keep everything in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.routing import Router

from event_service.events.watch import Watcher
from event_service.http.console import console_routes
from event_service.http.middleware import with_middleware
from event_service.identity.principal import Role
from event_service.model.activity import Activity
from event_service.model.condition import AlertState
from event_service.model.scope import Scope
from event_service.model.webhook import PluginInfo, Webhook
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


@dataclass
class Console:
    """The console and its dependencies."""

    auth: str = "none"
    role: Role = Role.WORKSPACE_OWNER
    events: FakeEvents = field(default_factory=FakeEvents)
    webhooks: FakeWebhooks = field(default_factory=lambda: FakeWebhooks(webhook()))
    is_ready: Callable[[], bool] = lambda: True
    alert_states: dict[str, AlertState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.authenticator = FakeAuthenticator(self.auth != "none", self.role)

    async def alert_state(self, scope: Scope, alert_id: str) -> AlertState | None:
        return self.alert_states.get(alert_id)

    def client(self, host: str = "http://127.0.0.1:8080") -> httpx.AsyncClient:
        settings = configured(auth=self.auth)
        routes = console_routes(
            settings,
            events=self.events,
            webhooks=self.webhooks,
            authenticator=self.authenticator,
            watcher=Watcher(self.events, poll_seconds=0.001, clock=lambda: NOW),
            alert_state=self.alert_state,
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
