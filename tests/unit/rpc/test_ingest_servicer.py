"""IngestServicer: requests passed to a fake manager, and its results encoded as replies."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import code_pb2

from event_service._gen.event_service.v1 import ingest_pb2, ingest_pb2_grpc
from event_service.errors import (
    AlreadyExists,
    EventServiceError,
    Internal,
    InvalidArgument,
    NotFound,
    Overloaded,
    PermissionDenied,
    RequiredParameter,
    TooLarge,
    Unavailable,
)
from event_service.events.delivery import Delivery
from event_service.events.write_request import CreateResult
from event_service.model.webhook import Webhook
from event_service.rpc import methods
from event_service.rpc.context import RpcContext
from event_service.rpc.ingest_servicer import DESCRIPTOR, MAX_BATCH, MAX_STREAM, IngestServicer
from event_service.rpc.methods import client_streaming_methods, method_table
from event_service.rpc.server import GrpcServer
from event_service.wire.json_text import LARGE_BODY
from event_service.wire.varint import Prefixes
from tests.unit.rpc.serving import failure, noting, serving, webhook_of
from tests.unit.wire.nesting import nested_wire
from tests.waiting import until

SENDER = {"webhook_id": "webhook-1", "access_key": "key"}
Answer = Callable[[Delivery], CreateResult | EventServiceError]


def stored(delivery: Delivery) -> CreateResult:
    return CreateResult([f"event-{delivery.payload['n']}"])


class Manager:
    """Remembers what it was asked, and answers each delivery by a function."""

    def __init__(self, answer: Answer = stored) -> None:
        self.asked: list[tuple[str, str]] = []
        self.done: list[str] = []
        self.lots: list[list[Delivery | EventServiceError]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._answer = answer

    @property
    def deliveries(self) -> list[Delivery]:
        return [one for chunk in self.lots for one in chunk if isinstance(one, Delivery)]

    async def admit(self, webhook_id: str, access_key: str) -> Webhook:
        self.asked.append((webhook_id, access_key))
        self.done.append("admit")
        if access_key == "wrong":
            raise PermissionDenied
        return webhook_of(webhook_id)

    async def create_batch(
        self, webhook: Webhook, deliveries: Iterable[Delivery | EventServiceError]
    ) -> list[CreateResult | EventServiceError]:
        await self.gate.wait()
        self.lots.append(list(deliveries))
        return [one if isinstance(one, EventServiceError) else self._answer(one) for one in self.lots[-1]]


class RequestStream:
    """A RequestStream of these chunks."""

    def __init__(self, *lots: list[bytes]) -> None:
        self._lots = list(lots)

    async def receive(self) -> list[bytes]:
        return self._lots.pop(0) if self._lots else []


def batch(*payloads: Any, **fields: Any) -> bytes:
    """A CreateBatchRequest, and on the wire a CreateStreamRequest too."""
    body = {**SENDER, **fields, "payloads": [one if "data" in one else {"data": one} for one in payloads]}
    return json_format.ParseDict(body, ingest_pb2.CreateBatchRequest()).SerializeToString()


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field on the wire."""
    return Prefixes(number << 3 | 2)[len(content)] + content


async def ask(manager: Manager, request: bytes) -> list[ingest_pb2.Outcome]:
    reply = await IngestServicer(manager).create_batch(request, RpcContext("/s/m", {}))
    return list(ingest_pb2.CreateBatchResponse.FromString(reply).outcomes)


async def stream(manager: Manager, *lots: list[bytes]) -> list[ingest_pb2.Outcome]:
    reply = await IngestServicer(manager).create_stream(b"", RpcContext("/s/m", {}, requests=RequestStream(*lots)))
    return list(ingest_pb2.CreateStreamResponse.FromString(reply).outcomes)


def test_every_method_has_a_handler() -> None:
    table = method_table(DESCRIPTOR, IngestServicer(Manager()))
    assert set(table) == {"/event_service.v1.Ingest/CreateBatch", "/event_service.v1.Ingest/CreateStream"}
    assert client_streaming_methods(DESCRIPTOR) == {"/event_service.v1.Ingest/CreateStream"}


async def test_batch_passed_to_manager() -> None:
    manager = Manager()
    outcomes = await ask(manager, batch({"n": 1}, {"data": {"n": 2, "a.b": ["키"]}, "idempotency_key": " k "}))
    assert manager.asked == [("webhook-1", "key")]
    first, second = manager.deliveries
    assert (first.payload, first.idempotency_key, first.path) == ({"n": 1}, "", "payloads[0].data")
    assert (second.payload, second.idempotency_key) == ({"n": 2, "a.b": ["키"]}, "k")
    assert first.received_at == second.received_at
    assert [list(outcome.event_ids) for outcome in outcomes] == [["event-1"], ["event-2"]]
    assert {(outcome.code, outcome.event_count, outcome.duplicate) for outcome in outcomes} == {(code_pb2.OK, 1, False)}


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (batch({"n": 1}, webhook_id=""), "webhook_id"),
        (batch({"n": 1}, access_key=""), "access_key"),
        (batch(), "payloads"),
        (batch(*[{"n": 1}] * (MAX_BATCH + 1)), "payloads"),
        (batch() + b"\x1a\x00" * LARGE_BODY, "payloads"),
        (b"\xff", "request"),
    ],
    ids=["webhook", "key", "none", "many", "too many", "garbage"],
)
async def test_invalid_batch_refused(request_: bytes, field: str) -> None:
    manager = Manager()
    with pytest.raises(InvalidArgument) as caught:
        await ask(manager, request_)
    assert caught.value.violations[0].field == field
    assert manager.asked == []


async def test_full_batch_accepted() -> None:
    assert len(await ask(Manager(), batch(*[{"n": n} for n in range(MAX_BATCH)]))) == MAX_BATCH


async def test_refused_payload_does_not_affect_others() -> None:
    request = ingest_pb2.CreateBatchRequest.FromString(batch({"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}))
    request.payloads[1].ClearField("data")
    request.payloads[2].data.fields["x"].number_value = float("nan")
    request.payloads[3].idempotency_key = "k" * 1025
    outcomes = await ask(Manager(), request.SerializeToString())
    assert [outcome.code for outcome in outcomes] == [
        code_pb2.OK,
        *[code_pb2.INVALID_ARGUMENT] * 3,
        code_pb2.OK,
    ]
    for outcome, received in zip(
        outcomes[1:4],
        [
            "ERROR_REQUIRED_PARAMETER: Required parameter. (key = payloads[1].data)",
            "ERROR_INVALID_PARAMETER: payloads[2].data.x: NaN",
            "ERROR_INVALID_PARAMETER: payloads[3].idempotency_key: is longer than 1024 characters",
        ],
        strict=True,
    ):
        assert outcome.message.startswith(received)
        assert not outcome.HasField("retry_delay")
        assert not outcome.event_count


@pytest.mark.parametrize(
    ("wire", "problem"),
    [
        (b"\x0a\x02\x0a\xff", "cannot be parsed: it is malformed"),
        (b"\x12\x01\xff", "cannot be parsed: it is malformed"),
        (field(1, nested_wire("o" * 32 + "ll")), "nested too deeply"),
        (field(1, nested_wire("o" * 60)), "cannot be parsed: it is malformed or nested too deeply"),
    ],
    ids=["no struct", "no text", "one level too deep", "far too deep"],
)
async def test_malformed_payload_does_not_affect_others(wire: bytes, problem: str) -> None:
    request = batch({"n": 0}) + field(3, wire) + field(3, batch({"n": 2})[len(batch()) + 2 :])
    for outcomes in (await ask(Manager(), request), await stream(Manager(), [request])):
        assert [outcome.code for outcome in outcomes] == [code_pb2.OK, code_pb2.INVALID_ARGUMENT, code_pb2.OK]
        assert outcomes[1].message.startswith(f"ERROR_INVALID_PARAMETER: payloads[1].data: {problem}")
        assert list(outcomes[2].event_ids) == ["event-2"]


async def test_outcome_per_payload() -> None:
    answers: list[CreateResult | EventServiceError] = [
        CreateResult(
            [f"event-{n}" for n in range(30)],
            faults=[f"results[{n}]: {'x' * 500}" for n in range(10)],
            ignored=["acknowledge"],
        ),
        CreateResult(["event-1"], duplicate=True),
        CreateResult(),
        Overloaded("busy", retry_after=0.25),
        AlreadyExists("used"),
        TooLarge("x" * 5000),
    ]
    many, again, nothing, busy, used, large = await ask(
        Manager(lambda delivery: answers[delivery.payload["n"]]), batch(*[{"n": n} for n in range(len(answers))])
    )
    assert (many.event_count, len(many.event_ids), list(many.ignored)) == (30, 20, ["acknowledge"])
    assert len(many.faults) == 4
    assert max(map(len, many.faults)) <= 300
    assert many.faults[-1] == "and 7 more"
    assert again.duplicate
    assert (nothing.code, nothing.event_count) == (code_pb2.OK, 0)
    assert (busy.code, busy.retry_delay.ToMilliseconds()) == (code_pb2.RESOURCE_EXHAUSTED, 250)
    assert (used.code, used.message) == (code_pb2.ALREADY_EXISTS, "ERROR_ALREADY_EXISTS: used")
    assert (large.code, large.HasField("retry_delay")) == (code_pb2.RESOURCE_EXHAUSTED, False)
    assert len(large.message) <= 1024


@pytest.mark.parametrize("error", [Unavailable("away", 2.0), Overloaded("busy", retry_after=0.5)])
async def test_all_payloads_retryable_fails_the_call(error: EventServiceError) -> None:
    with pytest.raises(type(error)) as caught:
        await ask(Manager(lambda _: error.again()), batch({"n": 1}, {"n": 2}))
    assert caught.value.retry_after == error.retry_after


@pytest.mark.parametrize("error", [AlreadyExists("used"), Internal("ours")])
async def test_permanent_error_is_an_outcome(error: EventServiceError) -> None:
    outcomes = await ask(Manager(lambda _: error), batch({"n": 1}, {"n": 2}))
    assert {code_pb2.Code.Name(outcome.code) for outcome in outcomes} == {error.code}


async def test_largest_reply_below_client_limit() -> None:
    worst = CreateResult(["event-0123456789ab"] * 1000, faults=["\0" * 1000] * 100, ignored=["%" * 1000] * 100)
    reply = await IngestServicer(Manager(lambda _: worst)).create_batch(
        batch(*[{"n": n} for n in range(MAX_BATCH)]), RpcContext("/s/m", {})
    )
    assert len(reply) < 4 * 1024 * 1024


async def test_stream_stored_by_chunks() -> None:
    manager = Manager()
    outcomes = await stream(
        manager,
        [batch()],
        [batch({"n": 0}), batch({"n": 1}, {"n": 2}, webhook_id="", access_key="")],
        [batch({"n": 3}, access_key=""), batch()],
    )
    assert [list(outcome.event_ids) for outcome in outcomes] == [[f"event-{n}"] for n in range(4)]
    assert [len(chunk) for chunk in manager.lots] == [0, 3, 1]
    assert set(manager.asked) == {("webhook-1", "key")}
    assert [one.path for one in manager.deliveries] == [f"payloads[{n}].data" for n in range(4)]


@pytest.mark.parametrize(
    ("lots", "field"),
    [
        ([], "webhook_id"),
        ([[batch({"n": 1}, webhook_id="")]], "webhook_id"),
        ([[batch({"n": 1}, access_key="")]], "access_key"),
        ([[batch({"n": 1})], [batch({"n": 1}, webhook_id="webhook-2")]], "webhook_id"),
        ([[batch({"n": 1}), batch({"n": 1}, access_key="other")]], "access_key"),
        ([[batch(*[{"n": 1}] * (MAX_BATCH + 1))]], "payloads"),
        ([[batch(*[{"n": 1}] * MAX_BATCH)]] * (MAX_STREAM // MAX_BATCH) + [[batch({"n": 1})]], "payloads"),
        ([[b"\xff"]], "request"),
    ],
    ids=["empty", "no webhook", "no key", "other webhook", "other key", "large message", "long stream", "garbage"],
)
async def test_invalid_stream_refused(lots: list[list[bytes]], field: str) -> None:
    with pytest.raises((InvalidArgument, RequiredParameter)) as caught:
        await stream(Manager(), *lots)
    assert caught.value.violations[0].field == field


@asynccontextmanager
async def ingesting(manager: Manager, **settings: Any) -> AsyncIterator[tuple[GrpcServer, ingest_pb2_grpc.IngestStub]]:
    async with (
        serving(
            IngestServicer(manager), descriptor=DESCRIPTOR, open_methods=("CreateBatch", "CreateStream"), **settings
        ) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield server, ingest_pb2_grpc.IngestStub(channel)


def messages(*requests: bytes) -> list[ingest_pb2.CreateStreamRequest]:
    return [ingest_pb2.CreateStreamRequest.FromString(request) for request in requests]


async def test_generated_stub_batches_and_streams() -> None:
    async with ingesting(Manager()) as (_, stub):
        reply = await stub.CreateBatch(ingest_pb2.CreateBatchRequest.FromString(batch({"n": 7})))
        assert reply.outcomes[0].event_ids == ["event-7"]
        sent = messages(*(batch({"n": n}) for n in range(100)))
        reply = await stub.CreateStream(iter(sent))
        assert [outcome.event_ids[0] for outcome in reply.outcomes] == [f"event-{n}" for n in range(100)]


async def test_messages_during_write_form_one_chunk() -> None:
    manager = Manager()
    async with ingesting(manager) as (_, stub):
        manager.gate.clear()
        call = stub.CreateStream()
        for n in range(50):
            await call.write(messages(batch({"n": n}))[0])
        await call.done_writing()
        await asyncio.sleep(0.2)
        manager.gate.set()
        assert len((await call).outcomes) == 50
    assert len(manager.lots) <= 3


async def test_refusal_reaches_sending_client() -> None:
    class Closed(Manager):
        async def create_batch(self, *_: object) -> Any:
            raise NotFound("webhook_id", "webhook-1")

    async def endless() -> AsyncIterator[ingest_pb2.CreateStreamRequest]:
        while True:
            yield messages(batch({"n": 1}))[0]
            await asyncio.sleep(0.001)

    async with ingesting(Closed()) as (server, stub):
        error = await failure(stub.CreateStream(endless()))
        # The stream is reset behind the refusal, and a client that is writing at that moment may see only the reset.
        assert error.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INTERNAL}
        assert server.calls_in_flight == 0


async def test_stream_deadline_releases_call() -> None:
    async with ingesting(Manager(), grpc_max_calls=1) as (server, stub):
        waiting = stub.CreateStream(timeout=0.3)
        await waiting.write(messages(batch({"n": 1}))[0])
        await asyncio.sleep(0.1)
        assert server.calls_in_flight == 1
        refused = await failure(stub.CreateBatch(ingest_pb2.CreateBatchRequest()))
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await failure(waiting)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        reply = await stub.CreateBatch(ingest_pb2.CreateBatchRequest.FromString(batch({"n": 7})))
        assert reply.outcomes[0].event_ids == ["event-7"]


async def test_vanished_clients_release_calls() -> None:
    async with ingesting(Manager()) as (server, _):
        for _ in range(20):
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", [("grpc.use_local_subchannel_pool", 1)])
            call = ingest_pb2_grpc.IngestStub(channel).CreateStream()
            await call.write(messages(batch({"n": 1}))[0])
            await channel.close()
        await until(lambda: not server.calls_in_flight)


async def test_stop_answers_open_streams() -> None:
    manager = Manager()
    async with ingesting(manager) as (server, stub):
        call = stub.CreateStream()
        await call.write(messages(batch({"n": 1}))[0])
        await until(lambda: bool(manager.lots))
        await asyncio.wait_for(server.stop(5), 2)
        assert (await failure(call)).code() is grpc.StatusCode.UNAVAILABLE


HOSTILE = [b"", b"\xff" * 50, b"\x1a\xff\xff\xff\xff\x0f", b"\x0a\x03\xed\xa0\x80", b"\x0b" * 1000, b"\x1a\x00" * 1001]


async def test_hostile_bytes_refused() -> None:
    async with (
        ingesting(Manager(lambda _: CreateResult())) as (server, _),
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        for request in HOSTILE:
            error = await failure(channel.unary_unary("/event_service.v1.Ingest/CreateBatch")(request))
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
            error = await failure(channel.stream_unary("/event_service.v1.Ingest/CreateStream")(iter([request])))
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_unauthenticated_payloads_not_decoded() -> None:
    manager = Manager()
    done = manager.done
    servicer = IngestServicer(manager, noting(done))
    payloads = [{"n": 1, "title": "small"}, {"n": 2, "title": "x" * LARGE_BODY}]
    with pytest.raises(PermissionDenied):
        await servicer.create_batch(batch(*payloads, access_key="wrong"), RpcContext("/s/m", {}))
    assert done == ["admit"]
    await servicer.create_batch(batch(*payloads, access_key="right"), RpcContext("/s/m", {}))
    assert done == ["admit", "admit", "read"]
    requests = RequestStream([batch(*payloads, access_key="right")], [batch({"n": 3}, access_key="right")])
    await servicer.create_stream(b"", RpcContext("/s/m", {}, requests=requests))
    assert done[3:] == ["admit", "read", "admit"]
    assert [[one.payload for one in lot] for lot in manager.lots] == [payloads, payloads, [{"n": 3}]]


async def test_unauthenticated_batch_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    original = methods.decode
    monkeypatch.setattr(methods, "decode", lambda kind, wire: parsed.append(len(wire)) or original(kind, wire))
    payloads = [{"n": n, "title": "x" * 1000} for n in range(MAX_BATCH)]
    manager = Manager()
    with pytest.raises(PermissionDenied):
        await IngestServicer(manager).create_batch(batch(*payloads, access_key="wrong"), RpcContext("/s/m", {}))
    assert parsed == [len(batch(access_key="wrong"))]
    assert len(await ask(manager, batch(*payloads))) == MAX_BATCH
    assert [one.payload for one in manager.lots[0]] == payloads


async def test_payload_of_too_many_fields_does_not_affect_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "MAX_FIELDS", LARGE_BODY)
    request = batch({"n": 0}) + field(3, field(1, b"\x0a\x00" * (methods.MAX_FIELDS + 1)))
    outcomes = await ask(Manager(), request)
    assert [outcome.code for outcome in outcomes] == [code_pb2.OK, code_pb2.RESOURCE_EXHAUSTED]
    assert outcomes[1].message.startswith("ERROR_TOO_LARGE: payloads[1].data: has more than")
