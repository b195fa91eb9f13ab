"""Many events with one call, in a stream, and by the Python client, against a real service."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import code_pb2

from event_service._gen.event_service.v1 import ingest_pb2, ingest_pb2_grpc
from event_service.client import EventClient, NotStored, Stored
from tests.e2e.service import Service

Webhook = tuple[str, str]


def request(webhook: Webhook, *payloads: dict[str, Any]) -> ingest_pb2.CreateBatchRequest:
    """A batch of payloads; a `key` in one of them is its idempotency key."""
    message = ingest_pb2.CreateBatchRequest(webhook_id=webhook[0], access_key=webhook[1])
    for payload in payloads:
        added = message.payloads.add(idempotency_key=payload.pop("key", ""))
        json_format.ParseDict(payload, added.data)
    return message


def native(name: str, kind: str = "ALERT", **fields: Any) -> dict[str, Any]:
    return {"event_key": name, "event_type": kind, "title": f"event {name}", **fields}


@pytest.fixture
def stub(service: Service) -> Iterator[ingest_pb2_grpc.IngestStub]:
    with service.channel() as channel:
        yield ingest_pb2_grpc.IngestStub(channel)  # type: ignore[no-untyped-call]


def rows(service: Service, webhook: Webhook) -> list[dict[str, Any]]:
    """Return every event of a webhook, oldest first."""
    query = {"page": {"limit": 5000}, "sort": [{"key": "created_at"}]}
    reply = service.call("Event", "list", {"webhook_id": webhook[0], "query": query})
    return list(reply.get("results", ()))


def refused(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    code: grpc.StatusCode = caught.value.code()
    return code


def test_a_batch_is_many_creates(service: Service, webhook: Webhook, stub: ingest_pb2_grpc.IngestStub) -> None:
    sent = [
        native("a", severity="CRITICAL") | {"x.$y": [1, None]},
        native("a"),
        native("a", "RECOVERY"),
        native("a"),
        native("never", "RECOVERY"),
        native("b", severity="huge"),
        {"results": [native("c"), native("d"), {"no": "event"}]},
        {"results": []},
    ]
    reply = stub.CreateBatch(request(webhook, *sent), timeout=30)
    assert [outcome.code for outcome in reply.outcomes] == [code_pb2.OK] * len(sent)
    assert [outcome.event_count for outcome in reply.outcomes] == [1, 1, 1, 1, 0, 1, 3, 0]
    assert reply.outcomes[4].ignored[0].startswith("recovery without an open alert")
    assert reply.outcomes[5].faults[0].startswith("severity: must be one of")
    assert reply.outcomes[6].faults[0].startswith("results[2].event_key")
    found = {row["event_id"]: row for row in rows(service, webhook)}
    ids = [name for outcome in reply.outcomes for name in outcome.event_ids]
    assert set(ids) == set(found)
    events = [found[name] for name in ids]
    assert [event["event_type"] for event in events] == [
        "ALERT",
        "ALERT",
        "RECOVERY",
        "ALERT",
        *["ERROR", "ALERT", "ALERT", "ERROR"],
    ]
    alerts = [event["alert_id"] for event in events[:4]]
    assert alerts[0] == alerts[1] == alerts[2] != alerts[3], "the recovery ends the alert, what follows opens another"
    assert events[0]["raw_data"]["x.$y"] == [1, None]


def test_a_thousand_payloads_are_taken_and_one_more_is_not(
    service: Service, webhook: Webhook, stub: ingest_pb2_grpc.IngestStub
) -> None:
    sent = [native(f"many-{number}", key=f"key-{number}") for number in range(1000)]
    message = request(webhook, *sent)
    left = 1000
    while left:  # an embedded database on a busy machine may not take all of it at once
        reply = stub.CreateBatch(message, timeout=60)
        left = sum(outcome.code != code_pb2.OK for outcome in reply.outcomes)
        assert {outcome.code for outcome in reply.outcomes} <= {
            code_pb2.OK,
            code_pb2.UNAVAILABLE,
            code_pb2.RESOURCE_EXHAUSTED,
        }
    assert len(rows(service, webhook)) == 1000
    message.payloads.append(message.payloads[0])
    assert refused(lambda: stub.CreateBatch(message, timeout=60)) is grpc.StatusCode.INVALID_ARGUMENT


def test_sending_a_batch_again_stores_nothing_new(
    service: Service, webhook: Webhook, stub: ingest_pb2_grpc.IngestStub
) -> None:
    def batch(title: str = "x") -> ingest_pb2.CreateBatchRequest:
        return request(webhook, *(native(f"k{number}", key=f"key-{number}", rule=title) for number in range(5)))

    first = stub.CreateBatch(batch(), timeout=30).outcomes
    again = stub.CreateBatch(batch(), timeout=30).outcomes
    assert [list(one.event_ids) for one in again] == [list(one.event_ids) for one in first]
    assert all(one.duplicate for one in again)
    other = stub.CreateBatch(batch("other"), timeout=30).outcomes
    assert {one.code for one in other} == {code_pb2.ALREADY_EXISTS}
    assert len(rows(service, webhook)) == 5


def test_one_key_twice_in_a_batch_is_one_event(
    service: Service, webhook: Webhook, stub: ingest_pb2_grpc.IngestStub
) -> None:
    reply = stub.CreateBatch(request(webhook, *(native("same", key="k") for _ in range(3))), timeout=30)
    assert [one.duplicate for one in reply.outcomes] == [False, True, True]
    assert len({one.event_ids[0] for one in reply.outcomes}) == len(rows(service, webhook)) == 1


def test_batch_refuses_wrong_credentials_as_create_does(
    service: Service, webhook: Webhook, stub: ingest_pb2_grpc.IngestStub
) -> None:
    for who, code in (
        (("webhook-000000000000", webhook[1]), grpc.StatusCode.NOT_FOUND),
        ((webhook[0], "wrong"), grpc.StatusCode.PERMISSION_DENIED),
        (("", ""), grpc.StatusCode.INVALID_ARGUMENT),
    ):
        message = request(who, native("a"))
        assert refused(lambda sent=message: stub.CreateBatch(sent, timeout=30)) is code  # type: ignore[misc]
        stream = ingest_pb2.CreateStreamRequest.FromString(message.SerializeToString())
        assert refused(lambda sent=stream: stub.CreateStream(iter([sent]), timeout=30)) is code  # type: ignore[misc]
    service.call("Webhook", "disable", {"webhook_id": webhook[0]})
    time.sleep(1)
    assert (
        refused(lambda: stub.CreateBatch(request(webhook, native("a")), timeout=30)) is grpc.StatusCode.INVALID_ARGUMENT
    )


def test_a_stream_is_answered_once_for_all(
    service: Service, webhook: Webhook, stub: ingest_pb2_grpc.IngestStub
) -> None:
    def messages() -> Iterator[ingest_pb2.CreateStreamRequest]:
        yield ingest_pb2.CreateStreamRequest(webhook_id=webhook[0], access_key=webhook[1])
        for number in range(300):
            message = ingest_pb2.CreateStreamRequest()
            json_format.ParseDict(native(f"stream-{number}"), message.payloads.add().data)
            yield message

    reply = stub.CreateStream(messages(), timeout=60)
    assert [outcome.code for outcome in reply.outcomes] == [code_pb2.OK] * 300
    found = {row["event_id"]: row["event_key"] for row in rows(service, webhook)}
    assert [found[one.event_ids[0]] for one in reply.outcomes] == [f"stream-{number}" for number in range(300)]


def test_the_client_stores_everything_and_says_so(service: Service, webhook: Webhook) -> None:
    with EventClient(service.grpc_address, *webhook) as client:
        good = [client.send(native(f"client-{number}")) for number in range(500)]
        bad = client.send(native("bad", severity="huge"))
        deep: dict[str, Any] = native("deep")
        for _ in range(31):
            deep = {"event_key": "deep", "a": deep}
        assert client.flush(60)
        assert bad.result().faults
        assert client.send(deep).result(30).event_count == 1
    found = {row["event_id"]: row["event_key"] for row in rows(service, webhook)}
    assert [found[one.result().event_ids[0]] for one in good] == [f"client-{number}" for number in range(500)]


def test_client_reports_a_wrong_key(service: Service, webhook: Webhook) -> None:
    with EventClient(service.grpc_address, webhook[0], "wrong") as client:
        error = client.send(native("a")).exception(30)
    assert isinstance(error, NotStored)
    assert error.code == "PERMISSION_DENIED"
    assert not error.uncertain


def keys_stored(service: Service, webhook: Webhook) -> dict[str, int]:
    """Return the number of stored events per event_key."""
    group = {"keys": [{"k": "event_key", "n": "key"}], "fields": [{"o": "count", "n": "count"}]}
    query = {"filter": [{"k": "webhook_id", "v": webhook[0], "o": "eq"}], "aggregate": [{"group": group}]}
    return {row["key"]: row["count"] for row in service.call("Event", "stat", {"query": query})["results"]}


@pytest.mark.timeout(300)
def test_kill_9_during_a_stream_loses_and_doubles_nothing(
    make_service: Callable[..., Service], own_database: dict[str, str]
) -> None:
    service = make_service(**own_database).start()
    webhook = service.create_webhook("under fire")
    chance, ending = random.Random(7), threading.Event()
    sent: dict[str, Any] = {}

    def write(client: EventClient, writer: int) -> None:
        number = 0
        while not ending.is_set():
            name = f"{writer}-{number}"
            sent[name] = client.send(native(name))
            number += 1
            time.sleep(0.02)

    with EventClient(service.grpc_address, *webhook, call_seconds=5, retry_timeout=120) as client:
        writers = [threading.Thread(target=write, args=(client, writer)) for writer in range(4)]
        for writer in writers:
            writer.start()
        for _ in range(2):
            time.sleep(chance.uniform(0.5, 1.0))
            service.kill()
            service.start()
        ending.set()
        for writer in writers:
            writer.join()
        assert client.flush(120)
    decided = wait(sent.values(), 0)
    assert not decided.not_done
    assert all(isinstance(one.result(), Stored) for one in sent.values())
    found = keys_stored(service, webhook)
    assert sent.keys() - found.keys() == set(), "lost"
    assert {key: count for key, count in found.items() if count != 1} == {}, "stored twice"
    assert len(sent) > 100
    assert service.stop() == 0
