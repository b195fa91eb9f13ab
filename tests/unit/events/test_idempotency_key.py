"""The key that recognises a repeated delivery, and the digest of its payload."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from event_service.events import idempotency_key
from event_service.events.idempotency_key import idempotency_of
from event_service.events.write_request import IdempotencyRequest
from event_service.normalize import parse
from event_service.normalize.result import Parsed
from tests.unit.events.test_delivery import delivery
from tests.unit.normalize.sns_messages import NOW, notification
from tests.unit.wire.json_values import values


def record_of(payload: Any, parsed: Parsed | None = None, **more: Any) -> IdempotencyRequest | None:
    parsed = parsed or parse("auto", payload, {}, {}, NOW)
    lifetimes = {"key_lifetime": timedelta(hours=24), "body_lifetime": timedelta(seconds=60)}
    return idempotency_of(delivery(payload, **more), "webhook-1", parsed, **lifetimes)


def test_record_by_key_then_message_id_then_body() -> None:
    assert record_of({"event_key": "k"}) is None
    assert record_of({"event_key": "k", "occurred_at": "2025-05-06T07:00:00Z"}, raw_body=b"same") is None
    by_key = record_of({"event_key": "k"}, idempotency_key="a")
    assert by_key is not None
    assert by_key.digest
    assert by_key.expire_at == NOW + timedelta(hours=24)
    by_message = record_of(notification())
    assert by_message is not None
    assert (by_message.digest, by_message.expire_at) == ("", NOW + timedelta(hours=24))
    incident = {"version": "1.2", "incident": {"incident_id": "i", "state": "open", "started_at": 1746514800}}
    assert record_of(incident) is None, "by gRPC there is no body"
    by_body = record_of(incident, raw_body=b"same")
    assert by_body is not None
    assert by_body.expire_at == NOW + timedelta(seconds=60)
    assert len({by_key.record_id, by_message.record_id, by_body.record_id}) == 3


def test_peers_of_alertmanager_deliver_the_same_body() -> None:
    def record_id(peer: str, start: str = "2025-05-06T07:00:00Z") -> str:
        labels = {"alertname": "Belt", "externalURL": "http://belt.example.org"}
        payload = {
            "groupKey": "{}",
            "alerts": [{"labels": labels, "startsAt": start}],
            "commonLabels": labels,
            "externalURL": peer,
            "version": "4",
        }
        record = record_of(payload, raw_body=json.dumps(payload).encode())
        assert record is not None
        return record.record_id

    assert record_id("http://a.example.org") == record_id('http://b.example.org/"x\\')
    assert record_id("http://a.example.org") != record_id("http://a.example.org", "2025-05-06T07:00:01Z")


@given(payload=values)
def test_digest_is_the_same_in_one_piece_and_in_many(payload: Any) -> None:
    assert (
        idempotency_key._digest(payload, 0)
        == idempotency_key._digest(payload, 1)
        == idempotency_key._digest(payload, 2)
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"n": 1}, {"n": 1.0}),
        ({"l": [{"n": [0]}, "x"], "a": 1}, {"a": 1.0, "l": [{"n": [0.0]}, "x"]}),
        ([{"n": 2**53 + 1}], [{"n": 2.0**53}]),
    ],
)
def test_digest_counts_integers_as_doubles(one: Any, other: Any) -> None:
    assert idempotency_key._digest(one, 0) == idempotency_key._digest(other, 0)


def test_digest_tells_numbers_from_texts_and_lists() -> None:
    payloads = [{"n": value} for value in (1, "1", "1.0", True, None, [1], [1, 1], {"1": 1})]
    digests = {idempotency_key._digest(payload, 0) for payload in payloads}
    assert len(digests) == len(payloads)


def test_alertmanager_peers_send_one_delivery() -> None:
    def record_id(url: str, name: str = "A") -> str:
        alert = {
            "status": "firing",
            "labels": {"alertname": name},
            "startsAt": "2025-05-06T07:00:00Z",
            "fingerprint": "f",
        }
        payload = {"version": "4", "groupKey": "g", "externalURL": url, "alerts": [alert]}
        record = record_of(payload, raw_body=json.dumps(payload).encode())
        assert record is not None
        return record.record_id

    assert record_id("http://am-1:9093") == record_id('http://am-2:9093/\\u0026?a="b"')
    assert record_id("http://am-1:9093") != record_id("http://am-1:9093", "B")
