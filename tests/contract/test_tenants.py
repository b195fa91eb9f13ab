"""Tenant isolation: a caller's replies do not depend on the data of other tenants.

Two domains share a database, and each caller has one that holds nothing but what this caller may see. Callers of both
domains ask the same at the same moment, in every way the API has, and each must be answered in the shared database as
in its own: rows, totals, values, statistics and refusals alike. So nothing foreign can be seen, nor counted, nor felt
in a figure.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from bson import ObjectId
from google.protobuf import json_format, struct_pb2
from google.protobuf.message import Message

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.concurrency.thread_pool import ThreadPool
from event_service.errors import EventServiceError, NotFound
from event_service.events.delivery import CreateRequest
from event_service.events.export import Exporter
from event_service.events.watch import CONDITIONS
from event_service.events.write_request import CreateResult
from event_service.identity.authorization import scope_of
from event_service.identity.principal import Principal, Role
from event_service.model.scope import Scope
from event_service.model.webhook import Webhook, access_key_hash
from event_service.normalize.remote_plugin import RemotePlugins
from event_service.query.fields import EVENT_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.rpc.context import RpcContext
from event_service.rpc.event_servicer import EventServicer
from event_service.settings import Settings
from event_service.store import indexes
from event_service.store.client import Database, close, connect
from event_service.store.event_reader import EventReader, Page, SharedEventReader
from event_service.store.export_reader import ExportReader
from event_service.store.reply_limit import ReplyLimit
from event_service.store.webhooks import WebhookStore
from event_service.webhooks.encryption import Encryptor
from event_service.webhooks.manager import WebhookManager
from event_service.webhooks.plugins import Plugins
from tests.chaos.scale import scaled
from tests.contract import tenant_queries
from tests.contract.tenant_queries import Queries

QUERIES = scaled(120, 2000)
DOMAINS = ("domain-a", "domain-b")
EVENTS = 20
WEBHOOKS = 6
NOW = datetime.now(UTC).replace(microsecond=0)

SEES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "system": lambda row: True,
    "admin": lambda row: True,
    "owner": lambda row: row["workspace_id"] == "workspace-1",
    "member": lambda row: row["workspace_id"] == "workspace-1" and row["project_id"] in ("project-1", "project-2"),
    "member of one": lambda row: row["workspace_id"] == "workspace-1" and row["project_id"] == "project-1",
    "member of nothing": lambda row: False,
}
"""Which documents of their domain they may see."""

CALLERS: dict[str, Callable[[str], Principal]] = {
    "system": lambda domain: Principal(Role.SYSTEM_TOKEN, domain),
    "admin": lambda domain: Principal(Role.DOMAIN_ADMIN, domain),
    "owner": lambda domain: Principal(Role.WORKSPACE_OWNER, domain, "workspace-1"),
    "member": lambda domain: Principal(Role.WORKSPACE_MEMBER, domain, "workspace-1", ("project-1", "project-2")),
    "member of one": lambda domain: Principal(Role.WORKSPACE_MEMBER, domain, "workspace-1", ("project-1",)),
    "member of nothing": lambda domain: Principal(Role.WORKSPACE_MEMBER, domain, "workspace-1", ()),
}


@dataclass(frozen=True)
class Request:
    """A request: a query and fields, or an id."""

    query: dict[str, Any] = field(default_factory=dict)
    equals: dict[str, str] = field(default_factory=dict)
    access_key: str = ""
    id: str = ""


class Refusal(NamedTuple):
    code: str
    details: str


def documents(domain: str, chance: Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Events and webhooks of one domain. Workspaces, projects, keys and values are named alike in both."""
    mark, ids = domain[-1], count(1)
    place = lambda: {  # noqa: E731
        "domain_id": domain,
        "workspace_id": chance.choice(("workspace-1", "workspace-1", "workspace-2")),
        "project_id": chance.choice(("project-1", "project-2", "project-3")),
    }
    events = [
        {
            "_id": ObjectId(f"{number:08x}{mark * 16}"),
            "event_id": f"event-{mark}{number:011x}",
            "event_key": f"key-{chance.randrange(4)}",
            "event_type": chance.choice(("ALERT", "RECOVERY", "ERROR")),
            "title": chance.choice(("CPU high", "Disk full", f"only in {domain}", "")),
            "description": chance.choice((None, "text", f"of {domain}")),
            "severity": chance.choice(("CRITICAL", "WARNING", "NONE")),
            "rule": chance.choice(("rule-1", None)),
            "resources": chance.choice(([], ["web-1"], ["web-1", f"host-{mark}"], ["db-1", "web-2"])),
            "provider": chance.choice(("aws", None)),
            "account": chance.choice(("1234", f"account-{mark}")),
            "raw_data": {
                "n": chance.choice((0, 1, 2.5, 100)),
                "s": chance.choice(("cpu", f"secret of {domain}")),
                "list": chance.choice(([], [1, 2], ["x", mark])),
                "items": [{"name": chance.choice(("a", mark)), "v": chance.randrange(4)} for _ in range(number % 3)],
            },
            "additional_info": chance.choice(({}, {"host": f"host-{mark}"}, {"cpu": {"load": 0.5}})),
            "alert_id": chance.choice((f"alert-{mark}{chance.randrange(3)}", None)),
            "webhook_id": f"webhook-{mark}{chance.randrange(WEBHOOKS)}",
            "created_at": NOW - timedelta(days=chance.randrange(1000), hours=chance.randrange(3)),
            "occurred_at": chance.choice((None, NOW - timedelta(days=chance.randrange(1000)))),
            **place(),
        }
        for number in (next(ids) for _ in range(EVENTS))
    ]
    webhooks = [
        {
            "_id": ObjectId(f"{number + 0x1000:08x}{mark * 16}"),
            "webhook_id": f"webhook-{mark}{number}",
            "name": chance.choice(("grafana", f"hook of {domain}")),
            "state": chance.choice(("ENABLED", "DISABLED")),
            "plugin_info": {"plugin_id": chance.choice(("native", "grafana")), "options": {"n": number}},
            "tags": {"team": chance.choice(("red", f"team {mark}")), "list": ["x", mark]},
            "requests": {"total": chance.randrange(10), "error": 0},
            "access_key_hashes": [access_key_hash(f"key of webhook-{mark}{number}")],
            "created_at": NOW - timedelta(days=number),
            **place(),
        }
        for number in range(WEBHOOKS)
    ]
    return events, webhooks


class Events:
    """The part of `EventManager` that `EventServicer` reads by."""

    def __init__(self, reader: SharedEventReader) -> None:
        self._reader = reader

    async def admit(self, webhook_id: str, access_key: str) -> Webhook:
        raise AssertionError("nothing is created here")

    async def create(self, request: CreateRequest) -> CreateResult:
        raise AssertionError("nothing is created here")

    async def get(self, scope: Scope, event_id: str) -> bytes:
        wire = await self._reader.get(scope, event_id)
        if wire is None:
            raise NotFound("event_id", event_id)
        return wire

    async def list(self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str]) -> Page:
        return await self._reader.list(scope, parse_list_query(query, equals, EVENT_FIELDS))

    async def encoded_stat(
        self, scope: Scope, query: Mapping[str, Any], encode: Callable[[dict[str, Any]], bytes]
    ) -> bytes:
        return await self._reader.stat(scope, parse_stat_query(query, EVENT_FIELDS), encode)


@dataclass(frozen=True)
class Side:
    """The servicers over one database."""

    events: EventServicer
    exporter: Exporter
    webhooks: WebhookManager

    async def ask(self, rpc: str, who: Principal, request: Request) -> Any:
        """Return the reply as JSON text with sorted lists, or code and message of the error."""
        try:
            return canonical(await METHODS[rpc](self, who, request))
        except EventServiceError as error:
            return Refusal(error.code, error.details)

    async def list_events(self, who: Principal, request: Request) -> Any:
        call = RpcContext("list", {}, principal=who)
        message = json_format.ParseDict({"query": request.query, **request.equals}, event_pb2.EventQuery())
        reply = event_pb2.EventsInfo.FromString(await self.events.list(message.SerializeToString(), call))
        return as_json(reply), call.trailers

    async def get_event(self, who: Principal, request: Request) -> Any:
        message = event_pb2.EventRequest(event_id=request.id)
        call = RpcContext("get", {}, principal=who)
        return as_json(event_pb2.EventInfo.FromString(await self.events.get(message.SerializeToString(), call)))

    async def export_events(self, who: Principal, request: Request) -> Any:
        scope = scope_of(who, "Event", "read", request.equals.get("project_id", ""))
        query = {name: value for name, value in request.query.items() if name in CONDITIONS}
        parts = [part async for part in self.exporter.export(scope, query, request.equals, request.id)]
        rows = [as_json(event_pb2.EventInfo.FromString(row)) for part in parts for row in part.events]
        return rows, parts[-1].token if parts else ""

    async def stat_events(self, who: Principal, request: Request) -> Any:
        call = RpcContext("stat", {}, principal=who)
        message = json_format.ParseDict({"query": request.query}, event_pb2.EventStatQuery())
        reply = struct_pb2.Struct.FromString(await self.events.stat(message.SerializeToString(), call))
        return unordered(as_json(reply))

    async def list_webhooks(self, who: Principal, request: Request) -> Any:
        scope = scope_of(who, "Webhook", "read", request.equals.get("project_id", ""))
        page = await self.webhooks.list(scope, request.query, request.equals, request.access_key)
        return page.rows, page.total_count, page.cut

    async def get_webhook(self, who: Principal, request: Request) -> Any:
        return self.webhooks.fields(await self.webhooks.get(scope_of(who, "Webhook"), request.id))

    async def stat_webhooks(self, who: Principal, request: Request) -> Any:
        return unordered(await self.webhooks.stat(scope_of(who, "Webhook"), request.query))


METHODS: dict[str, Callable[[Side, Principal, Request], Awaitable[Any]]] = {
    "Event.list": Side.list_events,
    "Event.get": Side.get_event,
    "Event.export": Side.export_events,
    "Event.stat": Side.stat_events,
    "Webhook.list": Side.list_webhooks,
    "Webhook.get": Side.get_webhook,
    "Webhook.stat": Side.stat_webhooks,
}


def as_json(message: Message) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def canonical(answer: Any) -> str:
    return json.dumps(answer, sort_keys=True, default=str, ensure_ascii=False)


def unordered(value: Any) -> Any:
    """Return the reply with sorted lists: the database returns groups and sets in any order."""
    if isinstance(value, dict):
        return {name: unordered(member) for name, member in value.items()}
    if isinstance(value, list):
        return sorted((unordered(member) for member in value), key=canonical)
    return value


@dataclass(frozen=True)
class Tenants:
    """One database with both domains, and one per caller with only its data, by domain and role."""

    shared: Side
    alone: dict[tuple[str, str], Side]
    values: list[Any]


@pytest.fixture(scope="module")
def databases(mongodb_uri: str) -> Iterator[dict[tuple[str, str], Database]]:
    """Return filled databases by (domain, role), and the shared one under ("", "")."""
    chance = Random(1)
    filled = {domain: documents(domain, chance) for domain in DOMAINS}
    made: dict[tuple[str, str], Database] = {}
    for domain, role in [("", ""), *((domain, role) for domain in DOMAINS for role in SEES)]:
        database = made[domain, role] = connect(Settings(database=f"tenants_{os.getpid()}_{len(made)}"), mongodb_uri)
        for collection, kind in (("event", 0), ("webhook", 1)):
            everything = [row for rows in filled.values() for row in rows[kind]]
            seen = [row for row in everything if not role or (row["domain_id"] == domain and SEES[role](row))]
            if seen:  # the domains take turns, as their documents come in
                database[collection].insert_many(sorted(seen, key=lambda row: row["_id"]))
    indexes.ensure(made["", ""])
    yield made
    for database in made.values():
        database.client.drop_database(database.name)
        close(database)


@pytest.fixture
def tenants(databases: dict[tuple[str, str], Database], tmp_path: Path) -> Iterator[Tenants]:
    threads = ThreadPool(2)
    readers: list[EventReader] = []

    def side(database: Database) -> Side:
        reader = EventReader(database["event"], limit=ReplyLimit(rows=20))
        readers.append(reader)
        webhooks = WebhookManager(
            store=WebhookStore(database, 5000, limit=ReplyLimit(rows=4)),
            threads=threads,
            encryptor=Encryptor(None, tmp_path / "secret.key"),
            plugins=Plugins({}, RemotePlugins()),
            base_url=lambda: "https://events.example",
        )
        exporter = Exporter(ExportReader(database["event"], page_rows=8), threads.run_for)
        return Side(EventServicer(Events(SharedEventReader(reader, threads))), exporter, webhooks)

    texts = {
        value
        for collection in ("event", "webhook")
        for document in databases["", ""][collection].find({}, {"_id": False, "access_key_hashes": False})
        for value in document.values()
        if isinstance(value, str)
    }
    values = [0, 1, 2.5, 100, True, "", "2025-01-01", *sorted(texts)]
    sides = {name: side(database) for name, database in databases.items()}
    yield Tenants(sides.pop(("", "")), sides, values)
    for reader in readers:
        reader.close()
    threads.close()


async def answers(tenants: Tenants, rpc: str, role: str, request: Request) -> list[Any]:
    """Send a request for both domains concurrently; each reply must equal that of its own database."""
    callers = {domain: CALLERS[role](domain) for domain in DOMAINS}
    together = await asyncio.gather(
        *(tenants.shared.ask(rpc, who, request) for who in callers.values()),
        *(tenants.alone[domain, role].ask(rpc, who, request) for domain, who in callers.items()),
    )
    shared, alone = together[: len(DOMAINS)], together[len(DOMAINS) :]
    for domain, one, other in zip(DOMAINS, shared, alone, strict=True):
        assert one == other, f"{rpc} as {role} of {domain}: {request}"
    for other, answer in zip(reversed(DOMAINS), shared, strict=True):
        assert isinstance(answer, Refusal) or other not in answer or other in str(request), (
            f"{rpc} as {role}: {request}"
        )
    return shared


@pytest.mark.chaos
async def test_random_queries_never_show_another_tenant(tenants: Tenants) -> None:
    """Both domains send each query in one of six roles."""
    chance = Random(10)
    resources = {
        "Event": Queries(8, tenants.values, tenant_queries.FIELDS, tenant_queries.REQUEST_FIELDS),
        "Webhook": Queries(9, tenants.values, tenant_queries.WEBHOOK_FIELDS, tenant_queries.WEBHOOK_REQUEST_FIELDS),
    }
    answered = 0
    for _ in range(QUERIES):
        resource = chance.choice(("Event", "Event", "Event", "Webhook"))
        method = chance.choice(("list", "list", "list", "stat", "stat", "stat", "get"))
        queries = resources[resource]
        if method == "get":
            request = Request(id=str(queries.value()))
        elif method == "stat":
            request = Request(queries.stat())
        else:
            key = f"key of {queries.value()}" if resource == "Webhook" and chance.random() < 0.1 else ""
            request = Request(queries.list(), queries.equals(), access_key=key)
        role = chance.choice(list(CALLERS))
        for answer in await answers(tenants, f"{resource}.{method}", role, request):
            answered += not isinstance(answer, Refusal)
        if resource == "Event" and method == "list" and chance.random() < 0.04:
            await answers(tenants, "Event.export", role, request)
    # They would be worth little if most were refused.
    assert answered > QUERIES * len(DOMAINS) * 0.6


# A value for each field of the request, of the other domain where the field's values differ.
FOREIGN = {
    "event_id": "event-b00000000001", "event_key": "key-1", "event_type": "ALERT", "severity": "CRITICAL",
    "resource": "host-b", "provider": "aws", "account": "account-b", "workspace_id": "workspace-1",
    "project_id": "project-1", "alert_id": "alert-b1", "webhook_id": "webhook-b1",
}  # fmt: skip


@pytest.mark.parametrize("role", CALLERS)
async def test_domain_admin_of_upstreams_missing_comma(tenants: Tenants, role: str) -> None:
    """Upstream's `"workspace_id" "domain_id"` is one string: there, every caller sees every domain."""
    everything, _ = await answers(tenants, "Event.list", role, Request({"page": {"limit": 1000}}))
    rows = json.loads(everything)[0].get("results", [])
    assert FOREIGN.keys() == set(tenant_queries.REQUEST_FIELDS)
    assert {row["domain_id"] for row in rows} <= {DOMAINS[0]}
    assert bool(rows) is (role != "member of nothing")
    for name, value in FOREIGN.items():
        await answers(tenants, "Event.list", role, Request(equals={name: value}))
    for filters in (
        [{"k": "domain_id", "v": DOMAINS[1], "o": "eq"}],
        [{"k": "domain_id", "v": list(DOMAINS), "o": "in"}],
        [{"k": "domain_id", "v": DOMAINS[0], "o": "not"}],
        [{"k": "workspace_iddomain_id", "v": DOMAINS[1], "o": "eq"}],
        [{"k": "workspace_id", "v": True, "o": "exists"}],
    ):
        for place in ("filter", "filter_or"):
            await answers(tenants, "Event.list", role, Request({place: filters}))
            await answers(tenants, "Event.export", role, Request({place: filters}))
    for number in range(1, EVENTS + 1, 5):
        at = (NOW - timedelta(days=number * 40)).isoformat()
        await answers(tenants, "Event.export", role, Request(id=f"{at}/event-b{number:011x}"))


@pytest.mark.parametrize("resource", ["Event", "Webhook"])
@pytest.mark.parametrize("role", CALLERS)
async def test_foreign_id_and_missing_id_get_the_same_error(tenants: Tenants, resource: str, role: str) -> None:
    for foreign, missing in (("event-b00000000001", "event-c00000000001"), ("webhook-b1", "webhook-c1")):
        refusals = [(await answers(tenants, f"{resource}.get", role, Request(id=one)))[0] for one in (foreign, missing)]
        key = f"{resource.lower()}_id"
        assert refusals == [
            Refusal("NOT_FOUND", f"ERROR_NOT_FOUND: Resource cannot be found or access is denied. ({key} = {one})")
            for one in (foreign, missing)
        ]


async def test_concurrent_equal_queries_are_not_shared_between_tenants(tenants: Tenants) -> None:
    """Concurrent reads share queries within a scope, never across scopes."""
    request = Request({"sort": [{"key": "title"}]})
    callers = [(domain, role) for domain in DOMAINS for role in CALLERS]
    expected = [
        await tenants.alone[domain, role].ask("Event.list", CALLERS[role](domain), request) for domain, role in callers
    ]
    got = await asyncio.gather(
        *(
            tenants.shared.ask("Event.list", CALLERS[role](domain), request)
            for _ in range(20)
            for domain, role in callers
        )
    )
    assert got == expected * 20
