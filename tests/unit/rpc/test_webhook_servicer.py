import base64
import json
from datetime import UTC, datetime

import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spaceone.api.monitoring.v1 import webhook_pb2 as theirs

from event_service._gen.event_service.v1 import webhooks_pb2
from event_service._gen.spaceone.api.monitoring.v1 import webhook_pb2
from event_service.concurrency.thread_pool import ThreadPool
from event_service.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RequiredParameter,
    TooLarge,
    Unauthenticated,
)
from event_service.events.delivery import DeliveryParser
from event_service.events.preview import Previewer
from event_service.identity.principal import Principal, Role
from event_service.model.activity import DeliveryOutcome
from event_service.normalize import delivery_hooks
from event_service.normalize.remote_plugin import RemotePlugins
from event_service.rpc import webhook_servicer, webhooks_servicer
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import method_table
from event_service.rpc.webhook_servicer import WebhookServicer
from event_service.rpc.webhooks_servicer import WebhooksServicer
from event_service.store.reply_limit import ReplyLimit
from event_service.store.webhooks import WebhookStore
from event_service.webhooks.encryption import Encryptor
from event_service.webhooks.keys import MASK
from event_service.webhooks.manager import WebhookManager
from event_service.webhooks.plugins import Plugins
from event_service.wire.struct_encode import encode_stored_struct
from tests.contract.mongomock_database import make_database
from tests.unit.normalize.sns_messages import TOPIC, confirmation, signed
from tests.unit.wire.json_values import objects, scalars, texts

SYSTEM = Principal(Role.SYSTEM_TOKEN, "d-1", "ws-1")
ADMIN = Principal(Role.DOMAIN_ADMIN, "d-1")
OWNER = Principal(Role.WORKSPACE_OWNER, "d-1", "ws-1")
MEMBER = Principal(Role.WORKSPACE_MEMBER, "d-1", "ws-1", ("project-1",))
USER = Principal(Role.USER, "d-1")
OTHER_DOMAIN = Principal(Role.WORKSPACE_OWNER, "d-2", "ws-1")

CREATE = {"name": "hook", "project_id": "project-1", "plugin_info": {"plugin_id": "native"}}

READS = ["get", "list", "stat", "test", "statistics"]
WRITES = ["create", "update", "update_plugin", "verify_plugin", "enable", "disable", "delete", "rotate_key"]

MESSAGES = {
    "create": (webhook_pb2.CreateWebhookRequest, webhook_pb2.WebhookInfo),
    "update": (webhook_pb2.UpdateWebhookRequest, webhook_pb2.WebhookInfo),
    "update_plugin": (webhook_pb2.UpdateWebhookPluginRequest, webhook_pb2.WebhookInfo),
    "verify_plugin": (webhook_pb2.WebhookRequest, None),
    "enable": (webhook_pb2.WebhookRequest, webhook_pb2.WebhookInfo),
    "disable": (webhook_pb2.WebhookRequest, webhook_pb2.WebhookInfo),
    "delete": (webhook_pb2.WebhookRequest, None),
    "get": (webhook_pb2.WebhookRequest, webhook_pb2.WebhookInfo),
    "list": (webhook_pb2.WebhookQuery, webhook_pb2.WebhooksInfo),
    "stat": (webhook_pb2.WebhookStatQuery, struct_pb2.Struct),
    "rotate_key": (webhooks_pb2.RotateKeyRequest, webhooks_pb2.RotateKeyResponse),
    "test": (webhooks_pb2.TestRequest, webhooks_pb2.TestResponse),
    "statistics": (webhooks_pb2.StatisticsRequest, webhooks_pb2.StatisticsResponse),
}
OWN = ("rotate_key", "test", "statistics")


class Remote:
    """No remote plugin is asked here."""


class Both:
    """The methods of both services by name."""

    def __init__(self, manager, threads):
        deliveries = DeliveryParser(
            remote=Remote(),
            hooks=delivery_hooks(None),
            endpoints={},
            threads=threads,
        )
        previewer = Previewer(
            webhooks=manager,
            deliveries=deliveries,
            max_event_bytes=4_000_000,
            clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        )
        self.manager = manager
        self.spaceones = WebhookServicer(manager)
        self.own = WebhooksServicer(manager, previewer)

    def __getattr__(self, name):
        return getattr(self.own if name in OWN else self.spaceones, name)


@pytest.fixture
def database(monkeypatch):
    return make_database("test", monkeypatch)


@pytest.fixture
def servicer(database, tmp_path):
    threads = ThreadPool(1)
    manager = WebhookManager(
        store=WebhookStore(database, 5000, limit=ReplyLimit(rows=2)),
        threads=threads,
        encryptor=Encryptor(None, tmp_path / "secret.key"),
        plugins=Plugins({}, RemotePlugins()),
        base_url=lambda: "https://events.example",
    )
    yield Both(manager, threads)
    threads.close()


@pytest.fixture
def ask(servicer):
    """Calls a method with a request as JSON, gives the reply as JSON, as a client sees it."""

    async def ask(method, request, principal=OWNER, call=None):
        kind, reply_kind = MESSAGES[method]
        call = call or RpcContext(f"/x/{method}", {}, principal=principal)
        wire = await getattr(servicer, method)(json_format.ParseDict(request, kind()).SerializeToString(), call)
        if reply_kind is None:
            assert wire == b""
            return None
        return json_format.MessageToDict(reply_kind.FromString(wire), preserving_proto_field_name=True)

    return ask


def test_every_method_of_both_contracts_has_a_handler(servicer):
    assert len(method_table(webhook_servicer.DESCRIPTOR, servicer.spaceones)) == 10
    assert list(method_table(webhooks_servicer.DESCRIPTOR, servicer.own)) == [
        f"/event_service.v1.Webhooks/{name}" for name in ("RotateKey", "Test", "Statistics")
    ]


async def test_create_get_list(ask):
    made = await ask("create", {**CREATE, "tags": {"a": [1, {"b": None}]}})
    key, webhook_id = made["access_key"], made["webhook_id"]
    assert made["webhook_url"] == f"https://events.example/monitoring/v1/webhook/{webhook_id}/{key}/events"
    found = await ask("get", {"webhook_id": webhook_id})
    assert found == {
        "webhook_id": webhook_id,
        "name": "hook",
        "state": "ENABLED",
        "access_key": MASK,
        "webhook_url": f"https://events.example/monitoring/v1/webhook/{webhook_id}/{MASK}/events",
        "capability": {},
        "plugin_info": {"plugin_id": "native", "options": {}, "metadata": {}, "upgrade_mode": "AUTO"},
        "tags": {"a": [1.0, {"b": None}]},
        "requests": {},
        "domain_id": "d-1",
        "workspace_id": "ws-1",
        "project_id": "project-1",
        "created_at": found["created_at"],
    }
    assert found["created_at"].endswith("Z")
    assert await ask("list", {}) == {"results": [found], "total_count": 1}
    assert {**made, "access_key": MASK, "webhook_url": found["webhook_url"]} == found


async def test_spaceones_own_stubs_read_the_reply(servicer):
    request = json_format.ParseDict(CREATE, theirs.CreateWebhookRequest()).SerializeToString()
    info = theirs.WebhookInfo.FromString(await servicer.create(request, RpcContext("/x/create", {}, principal=OWNER)))
    assert (info.name, info.state, len(info.access_key)) == ("hook", theirs.WebhookInfo.ENABLED, 64)


@pytest.mark.parametrize(
    ("principal", "may_read", "may_write"),
    [
        (SYSTEM, True, True),
        (ADMIN, True, False),
        (OWNER, True, True),
        (MEMBER, True, True),
        (USER, False, False),
        (Principal(Role.WORKSPACE_OWNER, "d-1", "ws-1", permissions=("monitoring:Webhook.read",)), True, False),
        (Principal(Role.WORKSPACE_OWNER, "d-1", "ws-1", permissions=("monitoring:Event",)), False, False),
    ],
    ids=["system", "admin", "owner", "member", "user", "reader", "event-reader"],
)
async def test_roles_permitted_per_method(ask, principal, may_read, may_write):
    made = await ask("create", CREATE)
    requests = {
        **{method: {"webhook_id": made["webhook_id"]} for method in WRITES},
        "create": {**CREATE, "name": "other"},
        "get": {"webhook_id": made["webhook_id"]},
        "list": {},
        "stat": {"query": {"distinct": "name"}},
        "test": {"webhook_id": made["webhook_id"], "data": {"event_key": "k"}},
        "statistics": {"webhook_id": made["webhook_id"]},
    }
    for method in [*READS, *WRITES[:6], "rotate_key", "delete"]:
        if may_read if method in READS else may_write:
            await ask(method, requests[method], principal)
        else:
            with pytest.raises(PermissionDenied):
                await ask(method, requests[method], principal)


@pytest.mark.parametrize("method", [*READS, *WRITES])
async def test_unauthenticated_and_garbage_refused(servicer, method):
    with pytest.raises(Unauthenticated):
        await getattr(servicer, method)(b"", RpcContext("/x", {}))
    with pytest.raises(InvalidArgument):
        await getattr(servicer, method)(b"\xff\xff", RpcContext("/x", {}, principal=OWNER))
    with pytest.raises(PermissionDenied):
        await getattr(servicer, method)(b"", RpcContext("/x", {}, principal=USER))


@pytest.mark.parametrize("method", [name for name in [*READS, *WRITES] if name not in ("list", "stat", "create")])
async def test_webhook_id_required_and_foreign_not_found(ask, method):
    made = await ask("create", CREATE)
    with pytest.raises(RequiredParameter, match="webhook_id"):
        await ask(method, {})
    more = {"data": 1} if method == "test" else {}
    with pytest.raises(NotFound):
        await ask(method, {"webhook_id": made["webhook_id"], **more}, OTHER_DOMAIN)


async def test_project_outside_token_permission_denied(ask):
    for method, request in (("create", {**CREATE, "project_id": "project-2"}), ("list", {"project_id": "project-2"})):
        with pytest.raises(PermissionDenied):
            await ask(method, request, MEMBER)
    await ask("create", CREATE)
    assert await ask("list", {"project_id": "*"}, MEMBER) == {}


async def test_required_parameters_in_order(ask):
    for request, key in (
        ({}, "name"),
        ({"name": "x"}, "plugin_info"),
        ({"name": "x", "plugin_info": {}}, "project_id"),
    ):
        with pytest.raises(RequiredParameter, match=rf"\(key = {key}\)"):
            await ask("create", request)


async def test_update_and_plugin(ask):
    webhook_id = (await ask("create", {**CREATE, "tags": {"a": 1}}))["webhook_id"]
    assert (await ask("update", {"webhook_id": webhook_id, "name": "new"}))["tags"] == {"a": 1.0}
    assert (await ask("update", {"webhook_id": webhook_id, "tags": {}}))["tags"] == {}
    changed = await ask(
        "update_plugin",
        {"webhook_id": webhook_id, "version": "2", "options": {"auto_recovery": False}, "upgrade_mode": "MANUAL"},
    )
    assert changed["plugin_info"] == {
        "plugin_id": "native",
        "version": "2",
        "options": {"auto_recovery": False},
        "metadata": {},
        "upgrade_mode": "MANUAL",
    }
    await ask("verify_plugin", {"webhook_id": webhook_id})


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (webhook_pb2.WebhookQuery(state=9), "state"),
        (webhook_pb2.UpdateWebhookPluginRequest(webhook_id="x", upgrade_mode=9), "upgrade_mode"),
        (
            webhook_pb2.CreateWebhookRequest(name="x", plugin_info=webhook_pb2.WebhookPluginInfo(upgrade_mode=9)),
            "plugin_info.upgrade_mode",
        ),
    ],
)
async def test_unknown_enum_numbers_invalid(servicer, message, field):
    method = {"WebhookQuery": "list", "UpdateWebhookPluginRequest": "update_plugin"}.get(
        type(message).__name__, "create"
    )
    with pytest.raises(InvalidArgument) as caught:
        await getattr(servicer, method)(message.SerializeToString(), RpcContext("/x", {}, principal=OWNER))
    assert caught.value.violations[0].field == field


async def test_enable_disable_delete(ask):
    webhook_id = (await ask("create", CREATE))["webhook_id"]
    assert (await ask("disable", {"webhook_id": webhook_id}))["state"] == "DISABLED"
    assert [row["webhook_id"] for row in (await ask("list", {"state": "DISABLED"}))["results"]] == [webhook_id]
    assert await ask("list", {"state": "ENABLED"}) == {}
    assert (await ask("enable", {"webhook_id": webhook_id}))["state"] == "ENABLED"
    await ask("delete", {"webhook_id": webhook_id})
    with pytest.raises(NotFound):
        await ask("get", {"webhook_id": webhook_id})


async def test_rotate_key(ask):
    made = await ask("create", CREATE)
    rotated = await ask("rotate_key", {"webhook_id": made["webhook_id"], "overlap_seconds": 60})
    assert rotated["webhook"]["access_key"] not in (made["access_key"], MASK)
    assert rotated["webhook"]["access_key"] in rotated["webhook"]["webhook_url"]
    assert rotated["previous_key_expires_at"].endswith("Z")
    at_once = await ask("rotate_key", {"webhook_id": made["webhook_id"]})
    assert "previous_key_expires_at" not in at_once
    with pytest.raises(InvalidArgument, match="overlap_seconds"):
        await ask("rotate_key", {"webhook_id": made["webhook_id"], "overlap_seconds": 2**32 - 1})


async def test_test_previews_events(ask, database):
    plugin = {"plugin_id": "auto", "options": {"sentry_client_secret": "s", "timezone": "UTC"}}
    webhook_id = (await ask("create", {**CREATE, "plugin_info": plugin}))["webhook_id"]
    payload = {"results": [{"event_key": "k", "title": " disk full ", "severity": "error"}, {"event_key": 5}]}
    body = base64.b64encode(json.dumps(payload).encode()).decode()
    for sent in ({"data": payload}, {"body": body}):
        shown = await ask("test", {"webhook_id": webhook_id, **sent})
        good, bad = shown["events"]
        assert (good["title"], good["severity"], good["raw_data"]) == (
            "disk full", "ERROR", {"results": [payload["results"][0]]},
        )  # fmt: skip
        assert (bad["event_type"], bad["title"]) == ("ERROR", "Webhook Event Parsing Error - hook")
        assert shown["faults"] == ["results[1].event_key: must be a string, not 5"]
        assert shown["parser"] == "native"
        assert not {"event_id", "alert_id"} & good.keys()
    assert database["event"].count_documents({}) == 0
    assert (await ask("statistics", {"webhook_id": webhook_id})).get("calls", "0") == "0"


async def test_test_payload_not_object_not_json_or_ignored(ask):
    webhook_id = (await ask("create", {**CREATE, "plugin_info": {}}))["webhook_id"]

    async def shown(**given):
        return await ask("test", {"webhook_id": webhook_id, **given})

    assert [event["event_key"] for event in (await shown(data=[{"event_key": "a"}, {"event_key": "b"}]))["events"]] == [
        "a", "b",
    ]  # fmt: skip
    not_json = await shown(body=base64.b64encode(b"{oops").decode())
    assert not_json["faults"][0].startswith("the body is not JSON")
    assert not_json["events"][0]["raw_data"] == {"body": "{oops"}
    acknowledged = {"event_action": "acknowledge", "routing_key": "r", "dedup_key": "d"}
    assert await shown(data=acknowledged) == {"ignored": ["acknowledge"], "parser": "pagerduty"}
    event = {
        "data": {"title": "t"},
        "headers": {"CE-SpecVersion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "a.b"},
    }
    read = await shown(**event)
    assert read["parser"] == "cloudevents"
    assert read["message_id"]
    for body, title in ((b"hello", "hello"), (b"", "a.b")):
        (found,) = (await shown(body=base64.b64encode(body).decode(), headers=event["headers"]))["events"]
        assert found["title"] == title
    subscription = await shown(data=signed(confirmation()))
    assert subscription["events"][0]["additional_info"]["subscribe_url"]
    await ask("update_plugin", {"webhook_id": webhook_id, "options": {"sns_topics": [TOPIC]}})
    assert (await shown(data=signed(confirmation())))["ignored"] == ["subscription confirmation"]
    for empty in ({}, {"data": {}}, {"body": ""}, {"body": base64.b64encode(b" \n").decode()}):
        with pytest.raises(RequiredParameter, match="data"):
            await shown(**empty)
    with pytest.raises(RequiredParameter, match="webhook_id"):
        await ask("test", {"data": 1})


async def test_statistics(ask, servicer):
    webhook_id = (await ask("create", CREATE))["webhook_id"]
    assert await ask("statistics", {"webhook_id": webhook_id}) == {"webhook_id": webhook_id}
    for error in ("", "title: must be a string"):
        servicer.manager.count(webhook_id, error=bool(error))
    servicer.manager.record(webhook_id, DeliveryOutcome(3, 1, 2, 4, 5, ["note", "note"], "title: must be a string"))
    shown = await ask("statistics", {"webhook_id": webhook_id})
    assert shown.pop("last_received_at") <= shown.pop("last_error_at")
    assert shown == {
        "webhook_id": webhook_id,
        "calls": "2",
        "stored": "3",
        "errors": "1",
        "duplicates": "2",
        "unmatched_recoveries": "4",
        "refused": "5",
        "ignored": {"note": "2"},
        "last_error": "title: must be a string",
    }


async def test_list_by_access_key_and_stat(ask):
    made = await ask("create", CREATE)
    await ask("create", {**CREATE, "name": "other"})
    found = await ask("list", {"access_key": made["access_key"]})
    assert [row["webhook_id"] for row in found["results"]] == [made["webhook_id"]]
    assert await ask("list", {"access_key": MASK}) == {}
    assert await ask("stat", {"query": {"distinct": "name"}}) == {"results": ["hook", "other"]}
    for query in ({"filter": [{"k": "access_key", "v": "x", "o": "eq"}]}, {"only": ["access_key"]}):
        with pytest.raises(InvalidArgument):
            await ask("list", {"query": query})
    with pytest.raises(InvalidArgument):
        await ask("stat", {"query": {"distinct": "access_key"}})


async def test_list_selected_fields_and_page_limit(ask):
    for name in ("a", "b", "c"):
        await ask("create", {**CREATE, "name": name})
    call = RpcContext("/x/list", {}, principal=OWNER)
    page = await ask("list", {"query": {"only": ["name", "plugin_info.plugin_id"]}}, call=call)
    assert page == {
        "results": [{"name": name, "plugin_info": {"plugin_id": "native"}} for name in ("a", "b")],
        "total_count": 3,
    }
    assert call.trailers == [("page-limit", "2")]


def requests_of(method):
    """Random bytes, and messages with every field set."""
    if method in ("list", "stat"):
        return st.binary(max_size=60)
    message = {
        "create": st.builds(
            lambda name, project, plugin, options, tags, mode: webhook_pb2.CreateWebhookRequest(
                name=name,
                project_id=project,
                plugin_info=webhook_pb2.WebhookPluginInfo(plugin_id=plugin, options=struct(options), upgrade_mode=mode),
                tags=struct(tags),
            ),
            texts,
            texts,
            texts | st.sampled_from(["native", "cloud-eye"]),
            objects | st.dictionaries(st.sampled_from(["duplicate_event_time", "auto_recovery", "endpoint"]), scalars),
            objects,
            st.integers(0, 4),
        ),
        "update": st.builds(
            lambda name, tags: webhook_pb2.UpdateWebhookRequest(webhook_id="webhook-1", name=name, tags=struct(tags)),
            texts,
            objects,
        ),
        "update_plugin": st.builds(
            lambda version, options, mode: webhook_pb2.UpdateWebhookPluginRequest(
                webhook_id="webhook-1", version=version, options=struct(options), upgrade_mode=mode
            ),
            texts,
            objects,
            st.integers(0, 4),
        ),
        "rotate_key": st.builds(
            lambda name, overlap: webhooks_pb2.RotateKeyRequest(webhook_id=name, overlap_seconds=overlap),
            texts | st.just("webhook-1"),
            st.integers(0, 2**32 - 1),
        ),
        "test": st.builds(
            lambda data, headers: webhooks_pb2.TestRequest(webhook_id="webhook-1", data=value(data), headers=headers),
            objects | st.lists(objects, max_size=3) | scalars,
            st.dictionaries(texts, texts, max_size=2),
        )
        | st.builds(lambda body: webhooks_pb2.TestRequest(webhook_id="webhook-1", body=body), st.binary(max_size=60)),
    }.get(method, st.builds(lambda name: webhook_pb2.WebhookRequest(webhook_id=name), texts))
    return message.map(lambda one: one.SerializeToString()) | st.binary(max_size=60)


def value(given):
    message = struct_pb2.Struct()
    message.MergeFromString(encode_stored_struct({"value": given}))
    return message.fields["value"]


def struct(value):
    message = struct_pb2.Struct()
    message.MergeFromString(encode_stored_struct(value))
    return message


@pytest.mark.parametrize("method", [*READS, *WRITES])
@settings(suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_any_request_never_internal(servicer, database, method, data):
    database["webhook"].update_one(
        {"webhook_id": "webhook-1"},
        {"$set": {"domain_id": "d-1", "workspace_id": "ws-1", "plugin_info": {"plugin_id": "native"}}},
        upsert=True,
    )
    request = data.draw(requests_of(method))
    try:
        await getattr(servicer, method)(request, RpcContext("/x", {}, principal=OWNER))
    except (InvalidArgument, NotFound, PermissionDenied, TooLarge):
        return
