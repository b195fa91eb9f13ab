"""Payloads as deep as can be read back in a list are accepted by all transports, and one level more by none.

Source: the Event API's rules, limits of a payload: protobuf's 100 message levels, measured inside EventsInfo.
"""

import json
from collections.abc import Callable

import grpc
import httpx
import pytest

from event_service._gen.event_service.v1 import ingest_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.webhooks.keys import delivery_path
from tests.e2e.foreign import ForeignClient
from tests.e2e.service import Service
from tests.unit.wire.nesting import delimited, nested, nested_wire

Webhook = tuple[str, str]
Door = Callable[[Service, Webhook, str], str]

DEEPEST = ["o" * 33, "o" * 32 + "l", "o" + "l" * 48, "o" * 31 + "lll"]
TOO_DEEP = ["o" * 34, "o" * 32 + "ll", "o" + "l" * 49, "o" * 31 + "llll", "o" * 60, "o" + "l" * 200, "o" * 5000]


def called(service: Service, path: str, request: bytes, *, is_stream: bool = False) -> tuple[str, bytes]:
    """Return the code a call ends with, and the reply."""
    with service.channel() as channel:
        try:
            if is_stream:
                return "OK", channel.stream_unary(path)(iter([request]), timeout=30)
            return "OK", channel.unary_unary(path)(request, timeout=30)
        except grpc.RpcError as error:
            return error.code().name, b""


def sender(webhook: Webhook) -> bytes:
    """Return the fields of both of a request's kinds that say whose it is."""
    return event_pb2.CreateEventRequest(webhook_id=webhook[0], access_key=webhook[1]).SerializeToString()


def by_create(service: Service, webhook: Webhook, shape: str) -> str:
    request = sender(webhook) + delimited(0x1A, nested_wire(shape))
    return called(service, "/spaceone.api.monitoring.v1.Event/create", request)[0]


def _outcome(code: str, reply: bytes) -> str:
    """Return the code of the payload of a batch, or of the call."""
    if code != "OK":
        return code
    (outcome,) = ingest_pb2.CreateBatchResponse.FromString(reply).outcomes
    return {0: "OK", 3: "INVALID_ARGUMENT"}[outcome.code]


def by_batch(service: Service, webhook: Webhook, shape: str) -> str:
    request = sender(webhook) + delimited(0x1A, delimited(0x0A, nested_wire(shape)))
    return _outcome(*called(service, "/event_service.v1.Ingest/CreateBatch", request))


def by_stream(service: Service, webhook: Webhook, shape: str) -> str:
    request = sender(webhook) + delimited(0x1A, delimited(0x0A, nested_wire(shape)))
    return _outcome(*called(service, "/event_service.v1.Ingest/CreateStream", request, is_stream=True))


def by_webhook_url(service: Service, webhook: Webhook, shape: str) -> str:
    url = f"http://{service.http_address}{delivery_path(*webhook)}"
    answer = httpx.post(url, content=_json(shape), timeout=30)
    return {200: "OK", 400: "INVALID_ARGUMENT"}[answer.status_code]


def by_batch_over_http(service: Service, webhook: Webhook, shape: str) -> str:
    body = f'{{"webhook_id": "{webhook[0]}", "access_key": "{webhook[1]}", "payloads": [{{"data": {_json(shape)}}}]}}'
    answer = httpx.post(f"http://{service.http_address}/event_service/v1/ingest/create-batch", content=body, timeout=30)
    if answer.status_code != 200:
        return {400: "INVALID_ARGUMENT"}[answer.status_code]
    (outcome,) = answer.json()["outcomes"]
    return "INVALID_ARGUMENT" if outcome.get("code") else "OK"


def _json(shape: str) -> str:
    opening = "".join('{"a":' if container == "o" else "[" for container in shape)
    return opening + "null" + "".join("}" if container == "o" else "]" for container in reversed(shape))


DOORS: list[Door] = [by_create, by_batch, by_stream, by_webhook_url, by_batch_over_http]


def test_the_shapes_are_what_they_say() -> None:
    for shape in DEEPEST:
        assert json.loads(_json(shape)) == nested(shape, None)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_as_deep_as_can_be_and_one_level_more(
    service: Service, webhook: Webhook, foreign_client: ForeignClient, door: Door
) -> None:
    assert {shape: door(service, webhook, shape) for shape in DEEPEST} == dict.fromkeys(DEEPEST, "OK")
    refused = {shape: door(service, webhook, shape) for shape in TOO_DEEP}
    assert refused == dict.fromkeys(TOO_DEEP, "INVALID_ARGUMENT")
    # SpaceONE's own stubs can still read what is there.
    rows = foreign_client.call("Event", "list", {"webhook_id": webhook[0]}).reply["results"]
    assert [row["raw_data"] for row in reversed(rows)] == [nested(shape, None) for shape in DEEPEST]
