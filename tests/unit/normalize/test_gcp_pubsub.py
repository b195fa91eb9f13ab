"""Pub/Sub push and Eventarc: the message is parsed by its own format."""

import base64
import json
from typing import Any

import pytest

from event_service.normalize import mask_credentials, parse
from event_service.normalize.result import Parsed
from tests.unit.normalize.examples import RECEIVED

SUBSCRIPTION = "projects/shop/subscriptions/ops"


def envelope(content: bytes, **attributes: str) -> dict[str, Any]:
    message = {"data": base64.b64encode(content).decode(), "messageId": "77", "attributes": attributes}
    return {"message": message, "subscription": SUBSCRIPTION}


def read(payload: Any, headers: dict[str, str] | None = None, plugin_id: str = "auto") -> Parsed:
    return parse(plugin_id, payload, headers or {}, {}, RECEIVED)


@pytest.mark.parametrize("plugin_id", ["auto", "gcp"])
def test_message_is_parsed_by_its_own_format(plugin_id: str) -> None:
    payload = envelope(b'{"event_key": "k", "title": "Queue is long"}')
    parsed = read(payload, plugin_id=plugin_id)
    (event,) = parsed.events
    assert (event.event_key, event.title, parsed.source, parsed.message_id) == (
        "k", "Queue is long", "native", "pubsub:77",
    )  # fmt: skip
    assert event.raw_data is payload


def test_eventarc_in_both_modes() -> None:
    payload = envelope(b'{"event_key": "k"}')
    attributes = {
        "specversion": "1.0",
        "id": "1",
        "source": "//pubsub",
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
    }
    binary = {f"ce-{name}": value for name, value in attributes.items()}
    assert [event.event_key for event in read(payload, binary).events] == ["k"]
    structured = {**attributes, "data": payload}
    (event,) = read(structured).events
    assert (event.event_key, event.raw_data) == ("k", structured)


def test_several_events_have_their_own_member_in_the_envelope() -> None:
    for payload in (envelope(b'[{"event_key": "a"}, {"event_key": "b"}]'),):
        for outer in (payload, {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": payload}):
            events = read(outer).events
            assert [event.event_key for event in events] == ["a", "b"]
            for event in events:
                assert event.raw_data.keys() == outer.keys()
                (again,) = read(event.raw_data).events
                assert again.event_key == event.event_key


@pytest.mark.parametrize(
    ("content", "attributes", "title"),
    [
        (b"Queue is long\nmore", {}, "Queue is long"),
        (b"", {"title": "Queue is long", "host": "q-1"}, "Queue is long"),
        (b'{"title": "Queue is long"}', {"ce-specversion": "1.0", "ce-source": "/q", "ce-type": "t"}, "Queue is long"),
    ],
)
def test_text_attributes_and_cloud_events(content: bytes, attributes: dict[str, str], title: str) -> None:
    (event,) = read(envelope(content, **attributes)).events
    assert event.title == title


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ("%%%", "message.data: must be base64"),
        (base64.b64encode(b"[" * 99999).decode(), "message.data: is nested too deeply"),
    ],
)
def test_unreadable_message_keeps_the_envelope(data: str, fault: str) -> None:
    payload = envelope(b"")
    payload["message"]["data"] = data
    parsed = read(payload)
    (item,) = parsed.bad_items
    assert item.raw_data is payload
    assert parsed.faults == [fault]
    assert parsed.message_id == "pubsub:77"


def test_keys_inside_the_message_are_masked() -> None:
    secret = "0123456789abcdef0123456789abcdef"
    page = {"routing_key": secret, "event_action": "trigger", "payload": {"summary": "s", "source": "x"}}
    payload = envelope(json.dumps(page).encode())
    masked = mask_credentials(payload, json.dumps(payload).encode())
    assert secret.encode() not in base64.b64decode(masked["message"]["data"])
    assert read(masked).events[0].title == "s"


def test_unwrapped_message_has_its_id_in_the_headers() -> None:
    assert read({"event_key": "k"}, {"x-goog-pubsub-message-id": "78"}).message_id == "pubsub:78"
