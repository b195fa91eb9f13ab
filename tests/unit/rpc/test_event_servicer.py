"""EventServicer: requests passed to a fake manager, and its results encoded as replies."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2, event_pb2_grpc
from event_service.errors import InvalidArgument, PermissionDenied, RequiredParameter, TooLarge
from event_service.events.delivery import CreateRequest
from event_service.events.write_request import CreateResult
from event_service.identity.principal import Principal, Role
from event_service.model.scope import Scope
from event_service.model.webhook import Webhook
from event_service.rpc import event_servicer, methods
from event_service.rpc.context import RpcContext
from event_service.rpc.event_servicer import DESCRIPTOR, OPEN_METHODS, EventServicer
from event_service.rpc.methods import method_table
from event_service.wire.event_info import encode_event_info
from event_service.wire.json_text import LARGE_BODY
from tests.unit.rpc.serving import NO_AUTHENTICATION, noting, serving, webhook_of
from tests.unit.wire.json_values import objects
from tests.unit.wire.nesting import delimited, nested, nested_wire

OWNER = NO_AUTHENTICATION.authenticate({})
MEMBER = Principal(Role.WORKSPACE_MEMBER, "domain-1", "workspace-1", ("project-1",))


@dataclass
class Page:
    rows: list[bytes] = field(default_factory=list)
    total_count: int = 0
    cut: bool = False


@dataclass
class Manager:
    """Remembers what it was asked and answers what it was given."""

    outcome: CreateResult = field(default_factory=CreateResult)
    page: Page = field(default_factory=Page)
    result: dict[str, Any] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    async def admit(self, webhook_id: str, access_key: str) -> Webhook:
        self.done.append("admit")
        if access_key == "wrong":
            raise PermissionDenied
        return webhook_of(webhook_id)

    async def create(self, request: CreateRequest) -> CreateResult:
        self.asked.append(request)
        return self.outcome

    async def get(self, scope: Scope, event_id: str) -> bytes:
        self.asked.append((scope, event_id))
        return encode_event_info({"event_id": event_id, "raw_data": {}})

    async def list(self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str]) -> Page:
        self.asked.append((scope, query, equals))
        return self.page

    async def encoded_stat(
        self, scope: Scope, query: Mapping[str, Any], encode: Callable[[dict[str, Any]], bytes]
    ) -> bytes:
        self.asked.append((scope, query))
        return encode(self.result)


def context(principal: Principal | None = OWNER, **metadata: str) -> RpcContext:
    return RpcContext("/s/m", {name.replace("_", "-"): value for name, value in metadata.items()}, principal=principal)


def field(number: int, content: bytes) -> bytes:
    return delimited(number << 3 | 2, content)


def create_request(**fields: Any) -> bytes:
    return json_format.ParseDict(fields, event_pb2.CreateEventRequest()).SerializeToString()


def test_every_method_has_a_handler() -> None:
    assert len(method_table(DESCRIPTOR, EventServicer(Manager()))) == 4


async def test_create_passes_request_to_manager() -> None:
    manager = Manager()
    before = datetime.now(UTC)
    request = create_request(webhook_id="webhook-1", access_key="key", data={"a.b": [1, None, {"$c": "키"}]})
    reply = await EventServicer(manager).create(request, context(None, idempotency_key=" delivery-1 "))
    assert reply == b""
    (asked,) = manager.asked
    assert (asked.webhook, asked.idempotency_key) == (webhook_of("webhook-1"), "delivery-1")
    assert asked.payload == {"a.b": [1, None, {"$c": "키"}]}
    assert json_format.MessageToDict(struct_pb2.Struct.FromString(asked.payload_wire)) == asked.payload
    assert abs(asked.received_at - before) < timedelta(seconds=5)
    assert asked.received_at.microsecond % 1000 == 0


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({}, "webhook_id"),
        ({"access_key": "k", "data": {"a": 1}}, "webhook_id"),
        ({"webhook_id": "w", "data": {"a": 1}}, "access_key"),
        ({"webhook_id": "w", "access_key": "k"}, "data"),
        ({"webhook_id": "w", "access_key": "k", "data": {}}, "data"),
    ],
)
async def test_create_names_first_missing_field(fields: dict[str, Any], missing: str) -> None:
    manager = Manager()
    with pytest.raises(RequiredParameter, match=rf"\(key = {missing}\)"):
        await EventServicer(manager).create(create_request(**fields), context(None))
    assert manager.asked == []


async def test_create_outcome_in_trailers() -> None:
    outcome = CreateResult(
        event_ids=[f"event-{number:012x}" for number in range(30)],
        duplicate=True,
        faults=["data.severity: unknown"],
        ignored=["recovery without an open alert (event_key = 키)"],
    )
    one = context(None)
    await EventServicer(Manager(outcome)).create(create_request(webhook_id="w", access_key="k", data={"a": 1}), one)
    names = [name for name, _ in one.trailers]
    assert names.count("event-id") == 20
    assert dict(one.trailers) | {"event-id": ""} == {
        "event-count": "30",
        "event-duplicate": "true",
        "event-id": "",
        "event-id-more": "10",
        "event-error": "data.severity: unknown",
        "event-ignored": "recovery without an open alert (event_key = %ED%82%A4)",
    }


async def test_create_without_faults_has_two_trailers() -> None:
    one = context(None)
    request = create_request(webhook_id="w", access_key="k", data={"a": 1})
    await EventServicer(Manager(CreateResult(["event-1"]))).create(request, one)
    assert one.trailers == [("event-count", "1"), ("event-id", "event-1")]


@pytest.mark.parametrize("shape", ["o" * 32 + "ll", "o" * 34])
async def test_create_refuses_payload_that_cannot_be_read_back(shape: str) -> None:
    manager = Manager()
    wire = nested_wire(shape)
    size = bytes([len(wire) & 0x7F | 0x80, len(wire) >> 7])
    request = b"\x0a\x01w\x12\x01k\x1a" + size + wire
    with pytest.raises(InvalidArgument) as caught:
        await EventServicer(manager).create(request, context(None))
    assert caught.value.code == "INVALID_ARGUMENT"
    assert manager.asked == []


async def test_unauthenticated_payload_not_decoded() -> None:
    manager = Manager()
    done = manager.done
    servicer = EventServicer(manager, noting(done))
    data = {"title": "x" * LARGE_BODY}
    with pytest.raises(PermissionDenied):
        await servicer.create(create_request(webhook_id="w", access_key="wrong", data=data), context())
    assert done == ["admit"]
    await servicer.create(create_request(webhook_id="w", access_key="right", data=data), context())
    assert done == ["admit", "admit", "read"]
    assert [asked.payload for asked in manager.asked] == [data]
    await servicer.create(create_request(webhook_id="w", access_key="right", data={"title": "small"}), context())
    assert done == ["admit", "admit", "read", "admit"]


LARGE = {"title": "x" * LARGE_BODY}


def large_request(*parts: bytes, access_key: str = "right") -> bytes:
    return b"".join(parts) + create_request(webhook_id="w", access_key=access_key, data=LARGE)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the size of each message that is parsed."""
    sizes: list[int] = []
    original = methods.decode

    def decode(kind: type[Any], request: bytes) -> Any:
        sizes.append(len(request))
        return original(kind, request)

    monkeypatch.setattr(methods, "decode", decode)
    monkeypatch.setattr(event_servicer, "decode", decode)
    return sizes


async def test_unauthenticated_payload_not_parsed(parsed: list[int]) -> None:
    servicer = EventServicer(Manager())
    with pytest.raises(PermissionDenied):
        await servicer.create(large_request(access_key="wrong"), context())
    assert sum(parsed) < 100
    await servicer.create(large_request(), context())
    assert parsed[-1] > LARGE_BODY


@pytest.mark.parametrize(
    "before",
    [field(1, b"first") + field(2, b"wrong"), field(3, b""), b"\x23" + field(1, b"other") + b"\x24"],
    ids=["repeated scalars", "data in parts", "group"],
)
async def test_large_request_is_read_as_protobuf_does(before: bytes) -> None:
    manager = Manager()
    await EventServicer(manager).create(large_request(before), context())
    (asked,) = manager.asked
    assert (asked.webhook, asked.payload) == (webhook_of("w"), LARGE)


_PADDING = field(15, bytes(LARGE_BODY))


@pytest.mark.parametrize(
    ("request_", "missing"),
    [
        (field(3, bytes(LARGE_BODY)), "webhook_id"),
        (field(1, b"w") + field(3, bytes(LARGE_BODY)), "access_key"),
        (field(1, b"w") + field(2, b"k") + field(3, _PADDING), "data"),
        (field(1, b"w") + field(2, b"k") + field(3, bytes(LARGE_BODY)), "request"),
        (field(1, b"w") + field(2, b"k") + field(3, b"\x0a\x00") + _PADDING, "request"),
        (field(1, b"w\xff") + field(2, b"k") + field(3, bytes(LARGE_BODY)), "request"),
        (field(3, bytes(LARGE_BODY))[:-1], "request"),
        (b"\x1a\x00" * LARGE_BODY, "data"),
    ],
    ids=["webhook", "key", "unknown data", "garbage", "large rest", "no text", "cut off", "many fields"],
)
async def test_invalid_large_request_refused(request_: bytes, missing: str) -> None:
    manager = Manager()
    with pytest.raises(InvalidArgument) as caught:
        await EventServicer(manager).create(request_, context())
    assert caught.value.violations[0].field == missing
    assert manager.asked == []


async def test_payload_of_too_many_fields_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "MAX_FIELDS", LARGE_BODY)
    request = field(1, b"w") + field(2, b"right") + field(3, b"\x0a\x00" * (methods.MAX_FIELDS + 1))
    with pytest.raises(TooLarge, match=r"data: has more than 65536 protobuf fields"):
        await EventServicer(Manager()).create(request, context())


async def test_create_refuses_long_idempotency_key() -> None:
    request = create_request(webhook_id="w", access_key="k", data={"a": 1})
    with pytest.raises(InvalidArgument, match="idempotency-key"):
        await EventServicer(Manager()).create(request, context(None, idempotency_key="x" * 1025))


async def test_get_uses_scope() -> None:
    manager = Manager()
    request = event_pb2.EventRequest(event_id="event-1").SerializeToString()
    reply = await EventServicer(manager).get(request, context())
    assert event_pb2.EventInfo.FromString(reply).event_id == "event-1"
    assert manager.asked == [(Scope("domain-1", "workspace-1"), "event-1")]
    with pytest.raises(RequiredParameter, match="event_id"):
        await EventServicer(manager).get(b"", context())


async def test_list_passes_query_and_fields_to_manager() -> None:
    rows = [encode_event_info({"event_id": f"event-{number}"}) for number in range(2)]
    manager = Manager(page=Page(rows, 7))
    fields = {"query": {"filter": [{"k": "title", "v": "x", "o": "eq"}], "page": {"limit": 2}}, "provider": "aws"}
    request = json_format.ParseDict(fields, event_pb2.EventQuery()).SerializeToString()
    one = context()
    reply = event_pb2.EventsInfo.FromString(await EventServicer(manager).list(request, one))
    assert ([event.event_id for event in reply.results], reply.total_count) == (["event-0", "event-1"], 7)
    assert manager.asked == [(Scope("domain-1", "workspace-1"), fields["query"], {"provider": "aws"})]
    assert one.trailers == []


async def test_list_page_limit_trailer_when_cut() -> None:
    one = context()
    await EventServicer(Manager(page=Page([b""] * 3, 7, cut=True))).list(b"", one)
    assert one.trailers == [("page-limit", "3")]


async def test_foreign_project_permission_denied() -> None:
    manager = Manager()
    servicer = EventServicer(manager)
    request = event_pb2.EventQuery(project_id="project-2").SerializeToString()
    with pytest.raises(PermissionDenied):
        await servicer.list(request, context(MEMBER))
    await servicer.list(event_pb2.EventQuery(project_id="project-1").SerializeToString(), context(MEMBER))
    assert manager.asked == [(Scope("domain-1", "workspace-1", ("project-1",)), {}, {"project_id": "project-1"})]


async def test_stat_returns_struct() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    manager = Manager(result={"results": [{"day": moment, "sum": float("inf"), "count": 3}], "total_count": 1})
    request = json_format.ParseDict({"query": {"aggregate": [{"limit": 0}]}}, event_pb2.EventStatQuery())
    reply = await EventServicer(manager).stat(request.SerializeToString(), context())
    assert json_format.MessageToDict(struct_pb2.Struct.FromString(reply)) == {
        "results": [{"day": "2026-01-01T00:00:00.000Z", "sum": None, "count": 3}],
        "total_count": 1,
    }
    assert manager.asked == [(Scope("domain-1", "workspace-1"), {"aggregate": [{"limit": 0}]})]


async def test_stat_refuses_result_nested_too_deeply() -> None:
    deep: dict[str, Any] = {}
    for _ in range(31):
        deep = {"a": deep}
    servicer = EventServicer(Manager(result={"results": [{"x": [deep]}]}))
    request = json_format.ParseDict({"query": {"aggregate": [{"limit": 1}]}}, event_pb2.EventStatQuery())
    with pytest.raises(InvalidArgument, match=r"^query\.aggregate: nested too deeply"):
        await servicer.stat(request.SerializeToString(), context())


async def test_stat_without_query_required_parameter() -> None:
    with pytest.raises(RequiredParameter, match=r"\(key = query\)"):
        await EventServicer(Manager()).stat(b"", context())


async def test_role_user_permission_denied() -> None:
    servicer = EventServicer(Manager())
    for method in (servicer.get, servicer.list, servicer.stat):
        with pytest.raises(PermissionDenied):
            await method(b"", context(Principal(Role.USER, "domain-1")))


requests = st.one_of(
    st.binary(max_size=100),
    st.builds(
        lambda data, patch, at: data[: at % (len(data) + 1)] + patch + data[at % (len(data) + 1) :],
        st.builds(lambda data: create_request(webhook_id="w", access_key="k", data=data), objects),
        st.binary(max_size=4),
        st.integers(0, 1000),
    ),
    st.builds(
        lambda data: json_format.ParseDict({"query": {"add_fields": data}}, event_pb2.EventQuery()).SerializeToString(),
        objects,
    ),
    st.integers(1, 5000).map(lambda depth: nested_wire("o" * depth)),
)


@given(st.sampled_from(["create", "get", "list", "stat"]), requests)
async def test_any_request_answered_or_refused(method: str, request: bytes) -> None:
    with contextlib.suppress(InvalidArgument):
        await getattr(EventServicer(Manager()), method)(request, context())


@pytest.fixture(scope="module")
def hostile() -> list[bytes]:
    return [
        b"", b"\xff" * 50, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x03\xed\xa0\x80", b"\x0b" * 1000,
        create_request(webhook_id="w", access_key="k", data=nested("o" * 32 + "ll")),
        create_request(webhook_id="w" * 100_000, access_key="\x00", data={"": {"": [""]}}),
        event_pb2.EventQuery(query={"filter": [{"v": {"number_value": float("nan")}}]}).SerializeToString(),
    ]  # fmt: skip


async def test_clients_never_see_internal_or_unknown(hostile: list[bytes]) -> None:
    async with (
        serving(EventServicer(Manager()), open_methods=tuple(OPEN_METHODS)) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        for method in DESCRIPTOR.methods:
            for request in hostile:
                asked = channel.unary_unary(f"/{DESCRIPTOR.full_name}/{method.name}")(request)
                assert await asked.code() in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)


async def test_generated_stub_round_trip() -> None:
    manager = Manager(CreateResult(["event-1"]), Page([encode_event_info({"event_id": "event-1"})], 1))
    async with (
        serving(EventServicer(manager), open_methods=tuple(OPEN_METHODS)) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub = event_pb2_grpc.EventStub(channel)
        data = struct_pb2.Struct()
        data.update({"title": "x"})
        created = stub.create(event_pb2.CreateEventRequest(webhook_id="w", access_key="k", data=data))
        await created
        assert (await created.trailing_metadata()).get("event-id") == "event-1"
        assert (await stub.get(event_pb2.EventRequest(event_id="event-9"))).event_id == "event-9"
        assert (await stub.list(event_pb2.EventQuery())).total_count == 1
        assert await stub.stat(event_pb2.EventStatQuery(query={})) == struct_pb2.Struct()
