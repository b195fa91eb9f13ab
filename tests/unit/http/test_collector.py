"""The webhook route: authenticated deliveries reach the manager as sent."""

import asyncio
import gzip
import threading
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from event_service.events.delivery import CreateRequest
from event_service.events.write_request import CreateResult
from event_service.model.webhook import WebhookState
from event_service.normalize import read_body
from event_service.wire.json_text import LARGE_BODY
from tests.unit.configured import configured
from tests.unit.http.fakes import ACCESS_KEY, NOW, WEBHOOK_ID, HttpService

PATH = f"/monitoring/v1/webhook/{WEBHOOK_ID}/{ACCESS_KEY}/events"


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (b'{"event_key": "k"}', {"event_key": "k"}),
        (b'[{"a": 1}]', [{"a": 1}]),
        (b"[]", []),
        (b'"text"', "text"),
        (b"0", 0),
        (b'\xef\xbb\xbf {"$a.b": null, "": "\\u0000"}', {"$a.b": None, "": "\x00"}),
    ],
)
@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain; charset=UTF-8", "", "application/x-www-form"]
)
async def test_json_is_stored_under_any_content_type(body: bytes, payload: Any, content_type: str) -> None:
    service = HttpService()
    async with service.client() as client:
        answer = await client.post(PATH, content=body, headers={"Content-Type": content_type, "X-Signature": "abc"})
    assert (answer.status_code, answer.json()) == (200, {})
    [request] = service.events.requests
    assert request.payload == payload
    assert request.raw_body == body
    assert request.unreadable == ""
    assert (request.webhook.webhook_id, request.received_at) == (WEBHOOK_ID, NOW)
    assert request.headers["x-signature"] == "abc"
    assert request.idempotency_key == ""


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"not json", "not json"), (b'{"a": NaN}', '{"a": NaN}'), (b"a=1&b=2", "a=1&b=2"), (b"caf\xe9", "café")],
)
async def test_bodies_that_are_not_json_are_stored_as_text(body: bytes, text: str) -> None:
    service = HttpService()
    async with service.client() as client:
        answer = await client.post(PATH, content=body)
    assert answer.status_code == 200
    [request] = service.events.requests
    assert request.payload == {"body": text}
    assert request.unreadable.startswith("the body is not")
    assert request.raw_body == body


@pytest.mark.parametrize(("body", "payload"), [(b"", None), (b"{}", {})])
async def test_binary_cloud_event_without_data_is_accepted(body: bytes, payload: Any) -> None:
    service = HttpService()
    async with service.client() as client:
        answer = await client.post(PATH, content=body, headers={"CE-SpecVersion": "1.0"})
    assert answer.status_code == 200
    [request] = service.events.requests
    assert (request.payload, request.unreadable) == (payload, "")


@pytest.mark.parametrize("body", [b"", b" \n", b"{}"])
async def test_empty_bodies_are_refused(body: bytes) -> None:
    service = HttpService()
    async with service.client() as client:
        answer = await client.post(PATH, content=body)
    assert answer.status_code == 400
    assert answer.json()["detail"]["code"] == "ERROR_REQUIRED_PARAMETER"
    assert not service.events.requests


async def test_deep_nesting_is_refused() -> None:
    async with HttpService().client() as client:
        answer = await client.post(PATH, content=b"[" * 100_000)
    assert answer.status_code == 400
    assert answer.json()["detail"]["violations"][0]["field"] == "data"


async def test_wrong_credentials_are_refused() -> None:
    service = HttpService()
    async with service.client() as client:
        unknown = await client.post(PATH.replace(WEBHOOK_ID, "webhook-x"), json={"a": 1})
        wrong = await client.post(PATH.replace(ACCESS_KEY, "x"), json={"a": 1})
        service.webhooks.webhook.state = WebhookState.DISABLED
        disabled = await client.post(PATH, json={"a": 1})
    assert (unknown.status_code, unknown.json()["detail"]["code"]) == (404, "ERROR_NOT_FOUND")
    assert (wrong.status_code, wrong.json()["detail"]["code"]) == (403, "ERROR_PERMISSION_DENIED")
    assert (disabled.status_code, disabled.json()["detail"]["code"]) == (400, "ERROR_WEBHOOK_STATE_DISABLED")
    assert not service.events.requests


async def test_unauthenticated_body_is_not_read() -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield b"x" * 1000

    async with HttpService().client() as client:
        answer = await client.post(PATH.replace(ACCESS_KEY, "x"), content=body())
    assert answer.status_code == 403
    assert read <= 1


async def test_outcome_is_in_the_headers() -> None:
    service = HttpService()
    service.events.outcome = CreateResult(
        event_ids=[f"event-{index:012x}" for index in range(25)],
        duplicate=True,
        faults=["severity: müll\nx"],
        ignored=["recovery without an open alert (event_key = ü)", "acknowledge"],
    )
    async with service.client() as client:
        answer = await client.post(PATH, json={"a": 1}, headers={"Idempotency-Key": "k-1"})
    assert service.events.requests[0].idempotency_key == "k-1"
    assert answer.headers["event-count"] == "25"
    assert len(answer.headers["event-id"].split(", ")) == 20
    assert answer.headers["event-duplicate"] == "true"
    assert answer.headers["event-error"] == "severity: m%C3%BCll%0Ax"
    assert answer.headers["event-ignored"] == "recovery without an open alert (event_key = %C3%BC); acknowledge"


async def test_idempotency_keys_are_limited_to_1024_characters() -> None:
    service = HttpService()
    async with service.client() as client:
        answers = [await client.post(PATH, json={"a": 1}, headers={"Idempotency-Key": "k" * n}) for n in (1024, 1025)]
    assert [answer.status_code for answer in answers] == [200, 400]
    assert "idempotency-key: is longer than 1024 characters" in answers[1].text
    assert len(service.events.requests) == 1


MEMBERS = gzip.compress(b'{"a"') + gzip.compress(b": 1") + gzip.compress(b"}")


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b'{"a": 1}')),
        ("deflate", zlib.compress(b'{"a": 1}')),
        ("deflate", zlib.compress(b'{"a": 1}')[2:-4]),
        ("UTF-8", b'{"a": 1}'),
        ("application/json", b'{"a": 1}'),
        ("none", b'{"a": 1}'),
        ("gzip", MEMBERS),
        ("gzip", gzip.compress(b"") * 1000 + MEMBERS),
        ("gzip", MEMBERS + b"\0" * 5000),
    ],
)
async def test_compressed_bodies_are_decompressed(encoding: str, packed: bytes) -> None:
    service = HttpService()
    async with service.client() as client:
        answer = await client.post(PATH, content=packed, headers={"Content-Encoding": encoding})
    assert answer.status_code == 200
    assert service.events.requests[0].payload == {"a": 1}


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("br", b"x"),
        ("gzip", b""),
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b'{"a": 1}')[:-9]),
        ("gzip", MEMBERS[:-1]),
        ("gzip", MEMBERS + b"garbage"),
        ("gzip", MEMBERS + b"\0garbage"),
        ("deflate", b"\x00"),
        ("deflate", zlib.compress(b'{"a": 1}')[2:-5]),
        ("gzip", zlib.compress(b'{"a": 1}')[2:-4]),
        ("zstd", b'{"a": 1}'),
    ],
)
async def test_invalid_compression_is_refused(encoding: str, body: bytes) -> None:
    async with HttpService().client() as client:
        answer = await client.post(PATH, content=body, headers={"Content-Encoding": encoding})
    assert answer.status_code == 400


@pytest.mark.parametrize("bomb", [gzip.compress(b" " * 5_000_000), gzip.compress(b" " * 6000) * 2])
async def test_decompression_stops_at_the_size_limit(bomb: bytes) -> None:
    service = HttpService(settings=configured(max_message_bytes=10_000))
    async with service.client() as client:
        answer = await client.post(PATH, content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413


@pytest.mark.parametrize(("size", "status"), [(2000, 200), (2001, 413)])
async def test_bodies_beyond_the_size_limit_are_refused(size: int, status: int) -> None:
    service = HttpService(settings=configured(max_message_bytes=2000))
    async with service.client() as client:
        answer = await client.post(PATH, content=b'"' + b"x" * (size - 2) + b'"')
    assert answer.status_code == status
    assert len(service.events.requests) == (status == 200)


@pytest.mark.parametrize("packed", [False, True])
async def test_bodies_in_flight_count_towards_the_memory_limit(packed: bool) -> None:
    service = HttpService(settings=configured(http_body_memory_bytes=3000))
    content = b'"' + b"x" * 2000 + b'"'
    body, headers = (gzip.compress(content), {"Content-Encoding": "gzip"}) if packed else (content, {})
    store, arrived, stored = service.events.create, asyncio.Event(), asyncio.Event()

    async def wait_and_store(request: CreateRequest) -> CreateResult:
        arrived.set()
        await stored.wait()
        return await store(request)

    service.events.create = wait_and_store  # type: ignore[method-assign]
    async with service.client() as client:
        first = asyncio.create_task(client.post(PATH, content=body, headers=headers))
        await arrived.wait()
        refused = await asyncio.wait_for(client.post(PATH, content=content), 10)
        stored.set()
        assert (await first).status_code == 200
        assert (await client.post(PATH, content=content)).status_code == 200
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")


async def test_body_beyond_the_memory_limit_is_answered_429() -> None:
    service = HttpService(settings=configured(http_body_memory_bytes=1024))
    async with service.client() as client:
        answer = await client.post(PATH, content=b'"' + b"x" * 2000 + b'"')
        again = await client.post(PATH, content=b'"small"')
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert again.status_code == 200


async def test_large_bodies_are_parsed_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def read(body: bytes, headers: Mapping[str, str]) -> tuple[Any, str]:
        names.append(threading.current_thread().name)
        return read_body(body, headers)

    monkeypatch.setattr("event_service.http.collector.read_body", read)
    service = HttpService()
    async with service.client() as client:
        await client.post(PATH, json={"event_key": "k"})
        await client.post(PATH, json={"event_key": "k", "title": "x" * LARGE_BODY})
        empty = await client.post(PATH, content=b" " * (LARGE_BODY + 1))
    assert [name == threading.current_thread().name for name in names] == [True, False, False]
    assert [request.payload["event_key"] for request in service.events.requests] == ["k", "k"]
    assert empty.status_code == 400


async def test_headers_are_utf8_else_latin1() -> None:
    service = HttpService()
    async with service.client() as client:
        for value in ("Kühlung".encode(), "Kühlung".encode("latin-1")):
            await client.post(PATH, json={"a": 1}, headers=[(b"ce-subject", value)])
    assert [request.headers["ce-subject"] for request in service.events.requests] == ["Kühlung", "Kühlung"]


@pytest.mark.parametrize("suffix", ["/", "/api/v2/alerts", "/api/v2/alerts/"])
async def test_other_paths_are_the_same_url(suffix: str) -> None:
    service = HttpService()
    async with service.client() as client:
        answer = await client.post(PATH + suffix, json={"event_key": "k"})
        unknown = await client.post(PATH + "/elsewhere", json={"event_key": "k"})
        wrong_key = await client.post(PATH.replace(ACCESS_KEY, "x") + suffix, json={"event_key": "k"})
    assert (answer.status_code, answer.json(), answer.headers["event-count"]) == (200, {}, "1")
    assert (unknown.status_code, wrong_key.status_code) == (404, 403)
    assert [request.payload for request in service.events.requests] == [{"event_key": "k"}]


PAGE = {"routing_key": "r", "event_action": "trigger", "payload": {"summary": "Disk full", "source": "db-1"}}


async def test_pagerduty_clients_get_pagerdutys_answer() -> None:
    service = HttpService()
    async with service.client() as client:
        named = await client.post(PATH + "/v2/enqueue", json={**PAGE, "dedup_key": "disk/db-1"})
        made_up = await client.post(PATH + "/v2/enqueue", json=PAGE)
        other = await client.post(PATH + "/v2/enqueue", json={"title": "no event of PagerDuty"})
        change = await client.post(PATH + "/v2/change/enqueue", json={"routing_key": "r", "payload": PAGE["payload"]})
        old = await client.post(
            PATH + "/generic/2010-04-15/create_event.json",
            json={"service_key": "s", "event_type": "trigger", "description": "Disk full"},
        )
    assert (named.status_code, named.json()) == (
        202,
        {"status": "success", "message": "Event processed", "dedup_key": "disk/db-1"},
    )
    assert service.events.requests[0].payload == {**PAGE, "dedup_key": "disk/db-1"}
    # The client resolves by the key of the answer.
    key = made_up.json()["dedup_key"]
    assert service.events.requests[1].payload == {**PAGE, "dedup_key": key}
    assert (other.status_code, other.json()["dedup_key"]) == (202, "")
    assert (change.status_code, change.json()["status"]) == (202, "success")
    assert old.status_code == 200
    assert service.events.requests[4].payload["incident_key"] == old.json()["incident_key"] != ""


def with_options(**options: Any) -> HttpService:
    service = HttpService()
    service.webhooks.webhook.plugin.options = options  # type: ignore[misc]
    return service


async def test_cloud_events_validation() -> None:
    origin = {"WebHook-Request-Origin": "eventgrid.azure.net", "WebHook-Request-Rate": "120"}
    named = with_options(allowed_origins=["EventGrid.azure.net", "other.example.org"])
    async with HttpService().client() as anyone, named.client() as client:
        open_to_all = await anyone.options(PATH, headers=origin)
        plain = await anyone.options(PATH)
        allowed = await client.options(PATH + "/", headers=origin)
        refused = await client.options(PATH, headers={"WebHook-Request-Origin": "else.example.org"})
        wrong_key = await client.options(PATH.replace(ACCESS_KEY, "x"), headers=origin)
    for answer in (open_to_all, allowed):
        assert (answer.status_code, answer.headers["webhook-allowed-origin"]) == (200, "eventgrid.azure.net")
        assert (answer.headers["webhook-allowed-rate"], answer.headers["allow"]) == ("*", "OPTIONS, POST")
    assert (plain.status_code, "webhook-allowed-origin" in plain.headers) == (200, False)
    assert (refused.status_code, "allowed_origins" in refused.text) == (403, True)
    assert wrong_key.status_code == 403


async def test_get_is_a_delivery_only_if_the_webhook_says_so() -> None:
    refusing, taking = HttpService(), with_options(allow_get=True)
    async with refusing.client() as client, taking.client() as other:
        refused = await client.get(PATH, params={"title": "Disk full"})
        taken = await other.get(PATH, params={"title": "Kühlung aus", "host": "db-1"})
        empty = await other.get(PATH)
        head = await other.head(PATH, params={"title": "x"})
    assert (refused.status_code, refused.headers["allow"]) == (405, "OPTIONS, POST")
    assert "allow_get" in refused.json()["detail"]["message"]
    assert (taken.status_code, empty.status_code, head.status_code) == (200, 400, 405)
    assert [request.payload for request in taking.events.requests] == [{"title": "Kühlung aus", "host": "db-1"}]
    assert refusing.events.requests == []
