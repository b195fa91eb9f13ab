"""The console over managers that hold everything in memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.routing import Router

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import EventServiceError, NotFound, Unauthenticated
from event_service.events.watch import Watcher
from event_service.http.console import console_routes
from event_service.http.middleware import with_middleware
from event_service.identity.principal import Principal, Role
from event_service.model.activity import Activity
from event_service.model.condition import AlertState
from event_service.model.scope import Scope
from event_service.model.webhook import PluginInfo, Webhook, WebhookState
from event_service.query.fields import EVENT_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.webhooks.info import InfoPage, webhook_fields
from event_service.wire.event_info import encode_event_info
from tests.unit.configured import configured

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TOKEN = "a.good.token"
KEY = "5e" * 32


def event(event_id: str = "event-1", **fields: Any) -> bytes:
    """EventInfo bytes of an event of a minute ago."""
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


@dataclass(frozen=True)
class FakePage:
    rows: list[bytes]
    total_count: int


@dataclass
class FakeEvents:
    """Questions are checked by the real grammar and answered as told."""

    stored: list[bytes] = field(default_factory=list)
    statistics: list[dict[str, Any]] = field(default_factory=list)
    queries: list[Mapping[str, Any]] = field(default_factory=list)
    equals: list[Mapping[str, str]] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)
    failure: EventServiceError | None = None

    async def get(self, scope: Scope, event_id: str) -> bytes:
        self.scopes.append(scope)
        for row in self.stored:
            if event_pb2.EventInfo.FromString(row).event_id == event_id:
                return row
        raise NotFound("event_id", event_id)

    async def list(self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str]) -> FakePage:
        parse_list_query(query, equals, EVENT_FIELDS)
        self.scopes.append(scope)
        self.queries.append(query)
        self.equals.append(equals)
        if self.failure:
            raise self.failure
        start = query["page"].get("start", 1) - 1
        return FakePage(self.stored[start : start + query["page"]["limit"]], len(self.stored))

    async def stat(self, scope: Scope, query: Mapping[str, Any]) -> Mapping[str, Any]:
        parse_stat_query(query, EVENT_FIELDS)
        group = next(stage["group"] for stage in query["aggregate"] if "group" in stage)
        wanted = {key["n"] for key in group["keys"]} | {"count"}
        return {"results": [row for row in self.statistics if set(row) == wanted]}


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
class FakeWebhooks:
    """One webhook, and what was done to it."""

    webhook: Webhook = field(default_factory=webhook)
    done: list[tuple[Any, ...]] = field(default_factory=list)
    failure: EventServiceError | None = None
    total: int = 1
    asked: list[Mapping[str, Any]] = field(default_factory=list)

    async def create(
        self, scope: Scope, *, name: str, plugin_info: Mapping[str, Any] | None, project_id: str
    ) -> tuple[Webhook, str]:
        if self.failure:
            raise self.failure
        self.done.append(("create", name, plugin_info, project_id))
        return replace(self.webhook, name=name), KEY

    async def get(self, scope: Scope, webhook_id: str) -> Webhook:
        return self.webhook

    async def list(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], access_key: str = ""
    ) -> InfoPage:
        self.asked.append(query)
        return InfoPage([webhook_fields(self.webhook, "http://here")] if self.total else [], self.total)

    async def enable(self, scope: Scope, webhook_id: str) -> Webhook:
        self.done.append(("enable", webhook_id))
        return self.webhook

    async def disable(self, scope: Scope, webhook_id: str) -> Webhook:
        self.done.append(("disable", webhook_id))
        self.webhook = replace(self.webhook, state=WebhookState.DISABLED)
        return self.webhook

    async def delete(self, scope: Scope, webhook_id: str) -> None:
        self.done.append(("delete", webhook_id))

    async def rotate_key(self, scope: Scope, webhook_id: str, overlap: float = 0.0) -> tuple[Webhook, str]:
        self.done.append(("rotate", webhook_id, overlap))
        return self.webhook, KEY

    def url(self, webhook_id: str, access_key: str = "") -> str:
        return f"http://here/{webhook_id}/{access_key}"


@dataclass
class FakeAuthenticator:
    """Knows one token, and takes no token where none is asked for."""

    needs_token: bool = False
    role: Role = Role.WORKSPACE_OWNER
    refuses: bool = False

    def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        if self.refuses or (self.needs_token and metadata["token"] != TOKEN):
            raise Unauthenticated
        return Principal(self.role, "domain-1", "workspace-1")


@dataclass
class Console:
    """The console and all that stands behind it."""

    auth: str = "none"
    role: Role = Role.WORKSPACE_OWNER
    events: FakeEvents = field(default_factory=FakeEvents)
    webhooks: FakeWebhooks = field(default_factory=FakeWebhooks)
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
    """A webhook with an error."""
    activity = Activity(last_received_at=NOW, last_error_at=NOW, last_error="<b>not JSON</b>")
    return webhook(activity=activity)
