"""The rpcs as JSON: routes, types and replies follow from the descriptors."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf import empty_pb2, struct_pb2

from event_service._gen.event_service.v1 import events_pb2, ingest_pb2, webhooks_pb2
from event_service._gen.spaceone.api.core.v2 import query_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2, webhook_pb2
from event_service.errors import InvalidArgument, NotFound, Unauthenticated
from event_service.http.openapi import openapi_document
from event_service.http.transcoding import MAX_JSON_VALUES, bindings, read_message, write_message
from event_service.query.size import LARGE_QUERY_BYTES
from event_service.wire.json_text import LARGE_BODY
from tests.unit.http.fakes import ACCESS_KEY, TOKEN, WEBHOOK_ID, FakeCall, HttpService

SERVICES = [event_pb2.DESCRIPTOR.services_by_name["Event"], webhook_pb2.DESCRIPTOR.services_by_name["Webhook"]]
CREATE_BATCH = "/event_service.v1.Ingest/CreateBatch"
ALL_SERVICES = [
    *SERVICES,
    events_pb2.DESCRIPTOR.services_by_name["Events"],
    ingest_pb2.DESCRIPTOR.services_by_name["Ingest"],
    webhooks_pb2.DESCRIPTOR.services_by_name["Webhooks"],
]
LIST = "/spaceone.api.monitoring.v1.Event/list"


def test_paths_match_the_contract() -> None:
    assert {binding.name.rpartition(".")[2]: binding.path for binding in bindings(SERVICES)} == {
        "Event/get": "/monitoring/v1/event/get",
        "Event/list": "/monitoring/v1/event/list",
        "Event/stat": "/monitoring/v1/event/stat",
        **{
            f"Webhook/{name}": f"/monitoring/v1/webhook/{name.replace('_', '-')}"
            for name in (
                "create",
                "update",
                "update_plugin",
                "verify_plugin",
                "enable",
                "disable",
                "delete",
                "get",
                "list",
                "stat",
            )
        },
    }


async def test_call_is_answered_as_json() -> None:
    async with HttpService().client(TOKEN) as client:
        answer = await client.post("/monitoring/v1/event/get", json={"event_id": "event-1"})
    assert answer.status_code == 200
    assert answer.json() == {"event_id": "event-1", "event_key": answer.headers["x-request-id"]}
    assert answer.headers["seen"] == "yes"


async def test_headers_become_metadata() -> None:
    seen: list[FakeCall] = []

    async def remember(_request: bytes, call: FakeCall) -> bytes:
        seen.append(call)
        return b""

    service = HttpService(handlers={LIST: remember})
    async with service.client(TOKEN) as client:
        headers = {"X-Domain-Id": "domain-1", "X-Workspace-Id": "w"}
        await client.post("/monitoring/v1/event/list", headers=headers)
    [call] = seen
    assert call.method == LIST
    assert call.metadata["authorization"] == f"Bearer {TOKEN}"
    assert (call.metadata["x_domain_id"], call.metadata["x_workspace_id"]) == ("domain-1", "w")


async def test_errors_of_handlers_become_responses() -> None:
    async def refuse(_request: bytes, _call: FakeCall) -> bytes:
        raise Unauthenticated

    async def miss(_request: bytes, _call: FakeCall) -> bytes:
        raise NotFound("event_id", "x")

    service = HttpService(handlers={LIST: refuse, LIST.replace("list", "stat"): miss})
    async with service.client(TOKEN) as client:
        refused = await client.post("/monitoring/v1/event/list")
        missed = await client.post("/monitoring/v1/event/stat")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert missed.status_code == 404
    assert missed.json()["detail"] == {
        "code": "ERROR_NOT_FOUND",
        "message": "Resource cannot be found or access is denied. (event_id = x)",
    }


async def test_unauthenticated_body_is_not_read() -> None:
    read: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            read.append(b"x" * 1000)
            yield read[-1]

    async with HttpService().client("another.token") as client:
        answer = await client.post("/monitoring/v1/event/list", content=body())
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert len(read) <= 1


@pytest.mark.parametrize("is_large", [True, False])
@pytest.mark.parametrize(("name", "most"), [("get", LARGE_BODY), ("list", LARGE_QUERY_BYTES)])
async def test_large_bodies_are_parsed_in_a_thread(name: str, most: int, is_large: bool) -> None:
    service = HttpService()
    async with service.client(TOKEN) as client:
        answer = await client.post(f"/monitoring/v1/event/{name}", content=b"{}".ljust(most + is_large))
    assert answer.status_code == 200
    assert service.in_threads == ([read_message] if is_large else [])


async def test_body_larger_than_its_method_takes_is_refused() -> None:
    async with HttpService().client(TOKEN) as client:
        answers = [
            await client.post(f"/monitoring/v1/event/{name}", content=bytes(300_001)) for name in ("get", "list")
        ]
    assert [answer.status_code for answer in answers] == [413, 400]
    assert "larger than 300000 bytes" in answers[0].text


def batch(webhook_id: str, access_key: str, size: int = LARGE_BODY, **more: Any) -> bytes:
    request = {"webhook_id": webhook_id, "payloads": [{"data": {"text": "]" * size}}], "access_key": access_key, **more}
    return json.dumps(request).encode()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (batch(WEBHOOK_ID, ACCESS_KEY), 200),
        (batch(WEBHOOK_ID, "wrong"), 403),
        (batch("webhook-0", ACCESS_KEY), 404),
        (batch("", ACCESS_KEY), 400),
        (batch(WEBHOOK_ID, ""), 400),
        (batch(WEBHOOK_ID, ACCESS_KEY, unknown=1), 400),
        (batch(WEBHOOK_ID, ACCESS_KEY, unknown="x" * LARGE_BODY), 413),
        (batch(WEBHOOK_ID, ACCESS_KEY).replace(b"[", b""), 413),
        (b"]" + bytes(LARGE_BODY) + b"[", 413),
    ],
    ids=["right", "wrong key", "no webhook", "no id", "no key", "unknown", "large rest", "no list", "garbage"],
)
async def test_large_body_parsed_after_authentication(body: bytes, status: int) -> None:
    service = HttpService(open_methods=frozenset({CREATE_BATCH}))
    async with service.client() as client:
        answer = await client.post("/event_service/v1/ingest/create-batch", content=body)
    assert answer.status_code == status, answer.text
    assert service.in_threads == ([read_message] if status == 200 else [])


async def test_query_of_too_many_values_is_not_parsed() -> None:
    body = b'{"query": {"filter": [{"k": "title", "o": "in", "v": [' + b"0," * MAX_JSON_VALUES + b"0]}]}}"
    async with HttpService().client(TOKEN) as client:
        answer = await client.post("/monitoring/v1/event/stat", content=body)
    assert answer.status_code == 413
    assert f"The body holds more than {MAX_JSON_VALUES} values." in answer.json()["detail"]["message"]


async def test_open_methods_need_no_token() -> None:
    async with HttpService(open_methods=frozenset({LIST})).client() as client:
        assert (await client.post("/monitoring/v1/event/list")).status_code == 200
        assert (await client.post("/monitoring/v1/event/stat")).status_code == 401


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        (None, 200),
        ("text/plain", 415),
        ("text/plain; application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
    ],
)
async def test_content_types_of_forms_are_refused(content_type: str | None, status: int) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    async with HttpService().client(TOKEN) as client:
        answer = await client.post("/monitoring/v1/event/list", content=b"{}", headers=headers)
    assert answer.status_code == status
    if status == 415:
        assert answer.json()["detail"]["code"] == "ERROR_UNSUPPORTED_MEDIA_TYPE"
        assert "Content-Type: application/json" in answer.json()["detail"]["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"not json", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b'{"a": NaN}', "body"),
        (b"[" * 100_000, "body"),
        (b'{"eventid": "x"}', "eventid"),
        (b'{"query": {"filters": []}}', "query.filters"),
        (b'{"query": {"filter": {}}}', "query.filter"),
        (b'{"query": {"filter": [null]}}', "query.filter[0]"),
        (b'{"event_id": 1}', "event_id"),
        (b'{"query": {"filter": [{"k": "a", "o": 5}]}}', "query.filter.o"),
        (b'{"query": {"page": {"limit": -1}}}', "query.page.limit"),
        (b'{"query": {"filter": [{"k": "a", "key": "b"}]}}', "query.filter[0]"),
    ],
)
def test_invalid_messages_name_the_field(body: bytes, field: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        read_message(body, event_pb2.EventQuery())
    assert refusal.value.violations[0].field == field


def test_deep_values_are_refused() -> None:
    value: Any = 1
    for _ in range(400):
        value = [value]
    body = json.dumps({"query": {"filter": [{"k": "raw_data.a", "v": value, "o": "eq"}]}}).encode()
    with pytest.raises(InvalidArgument):
        read_message(body, event_pb2.EventQuery())


def test_proto_and_json_names_are_accepted() -> None:
    expected = event_pb2.EventQuery(query=query_pb2.Query(count_only=True))
    assert read_message(b'{"query": {"count_only": true}}', event_pb2.EventQuery()) == expected
    assert read_message(b'{"query": {"countOnly": true}}', event_pb2.EventQuery()) == expected
    assert read_message(b" ", event_pb2.EventQuery()) == event_pb2.EventQuery()


def test_field_presence_is_kept() -> None:
    message = read_message(b'{"query": {"filter": [{"k": "", "v": null, "o": ""}]}}', event_pb2.EventQuery())
    assert isinstance(message, event_pb2.EventQuery)
    [one] = message.query.filter
    assert (one.WhichOneof("key_alias"), one.WhichOneof("value_alias")) == ("k", "v")
    assert one.v.WhichOneof("kind") == "null_value"


def test_replies_as_json() -> None:
    assert write_message(event_pb2.EventsInfo()) == {"results": [], "total_count": 0}
    assert write_message(empty_pb2.Empty()) == {}
    reply = struct_pb2.Struct()
    reply.update({"results": [{"count": 2}]})
    assert write_message(reply) == {"results": [{"count": 2}]}
    requests = webhook_pb2.WebhookRequests(total=5)
    info = webhook_pb2.WebhookInfo(webhook_id="w", state="ENABLED", requests=requests)
    assert write_message(info) == {"webhook_id": "w", "state": "ENABLED", "requests": {"total": "5"}}


async def test_large_replies_do_not_block_other_calls() -> None:
    reply = event_pb2.EventsInfo(total_count=2000)
    for index in range(2000):
        reply.results.add(event_id=f"event-{index}", raw_data={"a": [1, 2, {"b": "c" * 100}]})
    wire = reply.SerializeToString()

    async def answer(_request: bytes, _call: FakeCall) -> bytes:
        return wire

    service = HttpService(handlers={LIST: answer})
    async with service.client(TOKEN) as client:
        listing = asyncio.create_task(client.post("/monitoring/v1/event/list"))
        while not listing.done():
            await client.get("/healthz")
            await asyncio.sleep(0.001)
        assert len(listing.result().json()["results"]) == 2000


def test_method_without_handler_fails_at_start() -> None:
    service = HttpService()
    service.handlers = {}
    with pytest.raises(ValueError, match="has no handler"):
        _without(service, LIST)


def _without(service: HttpService, name: str) -> None:
    service.handlers[name] = None  # type: ignore[assignment]
    service.app()


async def test_openapi_document_lists_all_routes() -> None:
    service = HttpService()
    async with service.client() as client:
        document = (await client.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {
        "/monitoring/v1/event/get",
        "/monitoring/v1/event/list",
        "/monitoring/v1/event/stat",
        "/event_service/v1/ingest/create-batch",
        "/monitoring/v1/webhook/{webhook_id}/{access_key}/events",
        "/V1.0/{project_id}/events",
        "/V1.0/{project_id}/event/{event_name}",
        "/healthz",
        "/readyz",
        "/openapi.json",
    }


def test_openapi_references_resolve() -> None:
    document = openapi_document(ALL_SERVICES, "1.2.3")
    components = document["components"]
    names = {f"#/components/{kind}/{name}" for kind in components for name in components[kind]}

    def follow(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                assert value["$ref"] in names
            for member in value.values():
                follow(member)
        elif isinstance(value, list):
            for member in value:
                follow(member)

    follow(document)


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = openapi_document(ALL_SERVICES, "1.2.3")["components"]["schemas"][name]
    return found


def test_openapi_fields_have_types_and_descriptions() -> None:
    query = schema("spaceone.api.monitoring.v1.EventQuery")["properties"]["query"]
    assert query["$ref"] == "#/components/schemas/spaceone.api.core.v2.Query"
    assert query["description"] == "Conditions, order, page and fields."
    event = schema("spaceone.api.monitoring.v1.EventInfo")["properties"]
    assert event["raw_data"]["additionalProperties"] is True
    state = schema("spaceone.api.monitoring.v1.WebhookInfo")["properties"]["state"]
    assert (state["type"], state["enum"]) == ("string", ["NONE", "ENABLED", "DISABLED"])
    ignored = schema("event_service.v1.StatisticsResponse")["properties"]["ignored"]
    assert ignored["additionalProperties"] == {"type": "string", "format": "uint64"}
    total = schema("spaceone.api.monitoring.v1.WebhookRequests")["properties"]["total"]
    assert (total["type"], total["format"]) == ("string", "int64")


def test_openapi_is_complete_for_generators() -> None:
    document = openapi_document(ALL_SERVICES, "1.2.3")
    assert document["servers"]

    def check(value: Any, path: str) -> None:
        if isinstance(value, dict):
            if value.get("type") == "array":
                assert "items" in value, path
            if value.get("type") == "object":
                assert {"properties", "additionalProperties"} & value.keys(), path
            for name, member in value.items():
                check(member, f"{path}/{name}")
        elif isinstance(value, list):
            for member in value:
                check(member, path)

    check(document, "")
    for path in document["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict) and "requestBody" in operation:
                assert "application/json" in operation["requestBody"]["content"]


def test_openapi_names_required_fields_of_requests() -> None:
    assert schema("spaceone.api.monitoring.v1.CreateWebhookRequest")["required"] == [
        "name",
        "plugin_info",
        "project_id",
    ]
    assert schema("spaceone.api.monitoring.v1.EventRequest")["required"] == ["event_id"]
    assert schema("spaceone.api.monitoring.v1.EventsInfo")["required"] == ["results", "total_count"]
    assert "required" not in schema("spaceone.api.monitoring.v1.EventQuery")


def test_openapi_closes_requests_only() -> None:
    assert schema("spaceone.api.monitoring.v1.EventQuery")["additionalProperties"] is False
    for name in ("EventInfo", "EventsInfo", "WebhookInfo", "WebhookPluginInfo"):
        assert "additionalProperties" not in schema(f"spaceone.api.monitoring.v1.{name}")
