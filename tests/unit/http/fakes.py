"""Managers that keep everything in memory, and the HTTP application over them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from starlette.types import ASGIApp

from event_service._gen.event_service.v1 import ingest_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import EventServiceError, NotFound, PermissionDenied, Unauthenticated, WebhookDisabled
from event_service.events.delivery import CreateRequest
from event_service.events.write_request import CreateResult
from event_service.http.app import build_app
from event_service.identity.authenticator import Authenticator
from event_service.identity.principal import Principal, Role
from event_service.model.event import EventDraft
from event_service.model.scope import Scope
from event_service.model.webhook import PluginInfo, Webhook, WebhookState
from event_service.query.fields import EVENT_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.settings import Settings
from event_service.webhooks.info import InfoPage, webhook_fields
from event_service.wire.event_info import encode_event_info
from tests.unit.configured import configured

NOW = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
WEBHOOK_ID = "webhook-0123456789ab"
ACCESS_KEY = "5e" * 32
PROJECT = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
TOKEN = "a.good.token"


def make_webhook(plugin_id: str = "cloud-eye", project_id: str = PROJECT) -> Webhook:
    return Webhook(
        webhook_id=WEBHOOK_ID,
        name="test",
        domain_id="domain-1",
        workspace_id="workspace-1",
        project_id="project-1",
        plugin=PluginInfo(plugin_id, options={"project_id": project_id} if project_id else {}),
        created_at=NOW,
    )


@dataclass
class FakeWebhooks:
    """One webhook with one access key; remembers every change in `done`."""

    webhook: Webhook = field(default_factory=make_webhook)
    counted: list[bool] = field(default_factory=list)
    asked_scope: Scope | None = None
    done: list[tuple[Any, ...]] = field(default_factory=list)
    queries: list[Mapping[str, Any]] = field(default_factory=list)
    failure: EventServiceError | None = None
    total: int = 1

    async def authenticate(self, webhook_id: str, access_key: str) -> Webhook:
        if webhook_id != self.webhook.webhook_id:
            raise NotFound("webhook_id", webhook_id)
        if access_key != ACCESS_KEY:
            raise PermissionDenied
        if self.webhook.state is not WebhookState.ENABLED:
            raise WebhookDisabled(webhook_id)
        return self.webhook

    async def signing_keys(self, webhook_id: str) -> tuple[Webhook, tuple[str, ...]]:
        if webhook_id != self.webhook.webhook_id:
            raise NotFound("webhook_id", webhook_id)
        return self.webhook, (ACCESS_KEY,)

    async def find_cloud_eye(self, scope: Scope, cloud_eye_project_id: str) -> Webhook | None:
        self.asked_scope = scope
        return self.webhook if self.webhook.plugin.options.get("project_id") == cloud_eye_project_id else None

    def count(self, webhook_id: str, *, error: bool) -> None:
        self.counted.append(error)

    async def create(
        self, scope: Scope, *, name: str, plugin_info: Mapping[str, Any] | None, project_id: str
    ) -> tuple[Webhook, str]:
        if self.failure:
            raise self.failure
        self.done.append(("create", name, plugin_info, project_id))
        return replace(self.webhook, name=name), ACCESS_KEY

    async def get(self, scope: Scope, webhook_id: str) -> Webhook:
        return self.webhook

    async def list(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], access_key: str = ""
    ) -> InfoPage:
        self.queries.append(query)
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
        return self.webhook, ACCESS_KEY

    def url(self, webhook_id: str, access_key: str = "") -> str:
        return f"http://here/{webhook_id}/{access_key}"


@dataclass(frozen=True)
class FakePage:
    rows: list[bytes]
    total_count: int


@dataclass
class FakeEvents:
    """Events in memory. Queries are parsed by the real grammar, and remembered.

    Attributes:
        rows: EventInfo bytes of events that were stored before.
        statistics: rows of stat; a query gets those with its keys.
        stat_results: results of the next stat queries, in order, instead of `statistics`.
        stored: event_id and draft by identity, of `create_drafts`.
    """

    rows: list[bytes] = field(default_factory=list)
    statistics: list[dict[str, Any]] = field(default_factory=list)
    stat_results: list[list[Any]] = field(default_factory=list)
    requests: list[CreateRequest] = field(default_factory=list)
    outcome: CreateResult = field(default_factory=lambda: CreateResult(event_ids=["event-000000000001"]))
    stored: dict[str, tuple[str, EventDraft]] = field(default_factory=dict)
    batches: int = 0
    queries: list[Mapping[str, Any]] = field(default_factory=list)
    stat_queries: list[Mapping[str, Any]] = field(default_factory=list)
    equals: list[Mapping[str, str]] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)
    failure: Exception | None = None
    webhooks: FakeWebhooks = field(default_factory=FakeWebhooks)

    async def admit(self, webhook_id: str, access_key: str) -> Webhook:
        return await self.webhooks.authenticate(webhook_id, access_key)

    async def create(self, request: CreateRequest) -> CreateResult:
        if self.failure:
            raise self.failure
        self.requests.append(request)
        return self.outcome

    async def create_drafts(
        self, webhook: Webhook, items: Sequence[tuple[EventDraft, str]], received_at: datetime
    ) -> list[CreateResult]:
        if self.failure:
            raise self.failure
        self.batches += 1
        outcomes = []
        for draft, identity in items:
            duplicate = identity in self.stored
            event_id, _ = self.stored.setdefault(identity, (f"event-{len(self.stored):012x}", draft))
            outcomes.append(CreateResult((event_id,), duplicate))
        return outcomes

    async def get(self, scope: Scope, event_id: str) -> bytes:
        self.scopes.append(scope)
        for row in self.rows:
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
        if self.stored:
            rows = stored_rows(self.stored, query)
            return FakePage(rows, len(rows))
        start = query["page"].get("start", 1) - 1
        return FakePage(self.rows[start : start + query["page"]["limit"]], len(self.rows))

    async def stat(self, scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
        parse_stat_query(query, EVENT_FIELDS)
        self.scopes.append(scope)
        self.stat_queries.append(query)
        if self.stat_results:
            return {"results": self.stat_results.pop(0)}
        keys = {key.get("n") for stage in query.get("aggregate", ()) for key in stage.get("group", {}).get("keys", ())}
        return {"results": [row for row in self.statistics if set(row) == keys | {"count"}]}


def stored_rows(stored: Mapping[str, tuple[str, EventDraft]], query: Mapping[str, Any]) -> list[bytes]:
    """Return the EventInfo bytes of drafts, of those in the query's `in` filter if it has one."""
    event_ids = next((one["value"] for one in query["filter"] if one["operator"] == "in"), None)
    return [
        encode_event_info(
            {
                "event_id": event_id,
                "additional_info": draft.additional_info,
                "raw_data": draft.raw_data,
                "occurred_at": draft.occurred_at,
            }
        )
        for event_id, draft in stored.values()
        if event_ids is None or event_id in event_ids
    ]


@dataclass
class FakeAuthenticator:
    """Accepts one token, as metadata `token` or as a bearer."""

    needs_token: bool = True
    role: Role = Role.WORKSPACE_OWNER
    refuses: bool = False

    def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        given = (metadata.get("token"), metadata.get("authorization", "").removeprefix("Bearer "))
        if self.refuses or (self.needs_token and TOKEN not in given):
            raise Unauthenticated
        return Principal(self.role, "domain-1", "workspace-1")


@dataclass
class FakeCall:
    method: str
    metadata: Mapping[str, str]
    request_id: str
    trailers: list[tuple[str, str]] = field(default_factory=list)


Handler = Callable[[bytes, FakeCall], Awaitable[bytes]]


async def echo_event_id(request: bytes, call: FakeCall) -> bytes:
    """Answer Event.get for any event_id; event_key holds the request id."""
    asked = event_pb2.EventRequest.FromString(request)
    call.trailers.append(("seen", "yes"))
    return event_pb2.EventInfo(event_id=asked.event_id, event_key=call.request_id).SerializeToString()


async def empty_reply(request: bytes, call: FakeCall) -> bytes:
    return b""


@dataclass
class HttpService:
    """The HTTP application and its dependencies."""

    settings: Settings = field(default_factory=configured)
    events: FakeEvents = field(default_factory=FakeEvents)
    webhooks: FakeWebhooks = field(default_factory=FakeWebhooks)
    handlers: dict[str, Handler] = field(default_factory=dict)
    open_methods: frozenset[str] = frozenset()
    authenticator: Authenticator = field(default_factory=FakeAuthenticator)
    ready: bool = True
    now: datetime = NOW
    in_threads: list[Callable[..., Any]] = field(default_factory=list)
    observed: list[tuple[str, str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.events.webhooks = self.webhooks

    def app(self) -> ASGIApp:
        service = event_pb2.DESCRIPTOR.services_by_name["Event"]
        ingest = ingest_pb2.DESCRIPTOR.services_by_name["Ingest"]
        methods: dict[str, Handler] = {
            f"/{one.full_name}/{method.name}": empty_reply for one in (service, ingest) for method in one.methods
        }
        methods[f"/{service.full_name}/get"] = echo_event_id
        return build_app(
            self.settings,
            events=self.events,
            webhooks=self.webhooks,
            authenticator=self.authenticator,
            services=[service, ingest],
            methods=methods | self.handlers,
            open_methods=self.open_methods,
            request_limits={f"/{service.full_name}/get": 300_000},
            new_call=FakeCall,
            run_in_thread=self.run_in_thread,
            is_ready=lambda: self.ready,
            clock_skew=timedelta,
            version="0",
            observe=lambda method, route, status, _seconds: self.observed.append((method, route, status)),
            clock=lambda: self.now,
        )

    async def run_in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.in_threads.append(function)
        return function(*arguments)

    def client(self, token: str = "", base_url: str = "http://127.0.0.1:8080") -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app()), base_url=base_url, headers=headers)


def cloud_eye_item(**fields: Any) -> dict[str, Any]:
    """Return a valid EventItem of one second ago."""
    milliseconds = (NOW - timedelta(seconds=1)).timestamp() * 1000
    return {
        "event_name": "systemInvaded",
        "event_source": "financial.System",
        "time": int(milliseconds),
        "detail": {"event_state": "warning", "event_level": "Major", "resource_name": "ecs001"},
        **fields,
    }
