"""CloudEvents: structured, binary and batch."""

import base64
from typing import Any

import pytest

from event_service.model.event import EventType
from tests.unit.normalize.examples import ABSENT, example, fault_paths, first_event, read

BINARY = {"ce-specversion": "1.0", "ce-id": "ev-1", "ce-source": "/plant/3", "ce-type": "org.example.pressure.opened"}


def test_a_binary_event_is_kept_with_its_attributes() -> None:
    headers = {**BINARY, "ce-subject": "%EB%B0%B8%EB%B8%8C%2F7", "content-type": "application/json"}
    (event,) = read({"title": "Too high"}, headers=headers).events
    assert event.resources == ["밸브/7"]
    assert event.raw_data["data"] == {"title": "Too high"}
    assert event.raw_data["subject"] == "밸브/7"
    assert event.raw_data["datacontenttype"] == "application/json"


@pytest.mark.parametrize("content_type", ["application/cloudevents+json", "Application/CloudEvents+JSON; x=y"])
def test_cloud_event_detected_by_content_type(content_type: str) -> None:
    payload = example("cloudevents-opened", specversion=ABSENT)
    assert read(payload, headers={"content-type": content_type}).source == "cloudevents"


@pytest.mark.parametrize("body", ["valve 7 is stuck\nsince noon", ["x"], None, 5])
def test_the_data_of_a_binary_event_may_be_anything(body: Any) -> None:
    (event,) = read(body, headers=BINARY).events
    assert event.title == (
        "valve 7 is stuck" if isinstance(body, str) else "5" if body == 5 else "org.example.pressure"
    )


def test_cloud_event_message_id_is_source_and_id() -> None:
    ids = {
        read(example("cloudevents-opened", source=source, id=event_id)).message_id
        for source, event_id in (("a", "bc"), ("ab", "c"), ("a", "bc"))
    }
    assert len(ids) == 2
    assert read(example("cloudevents-opened", id=ABSENT)).message_id == ""


@pytest.mark.parametrize(
    ("kind", "status", "event_type"),
    [
        ("a.resolved", ABSENT, EventType.RECOVERY),
        ("a.opened", ABSENT, EventType.ALERT),
        ("a.opened", "resolved", EventType.RECOVERY),
        ("a.resolved", "firing", EventType.ALERT),
        ("resolved", ABSENT, EventType.ALERT),
        ("a.alert", ABSENT, EventType.ALERT),
    ],
)
def test_state_of_data_overrides_suffix_of_type(kind: str, status: Any, event_type: EventType) -> None:
    data = {"title": "t"} if status is ABSENT else {"title": "t", "status": status}
    assert first_event(example("cloudevents-opened", type=kind, data=data)).event_type is event_type


def test_a_suffix_that_is_no_state_stays_in_the_identity() -> None:
    one, other = (
        first_event(example("cloudevents-opened", type=kind, data={})).event_key for kind in ("a.pressure", "a.heat")
    )
    assert one != other


def test_cloud_event_required_attributes() -> None:
    payload = example("cloudevents-opened", source="", type=None)
    assert fault_paths(read(payload)) == ["source", "type"]
    assert fault_paths(read([example("cloudevents-opened"), payload, 5])) == ["[1].source", "[1].type", "[2]"]


@pytest.mark.parametrize("encoded", ["!!", "/w==", 5, ABSENT])
def test_data_that_cannot_be_decoded_is_no_data(encoded: Any) -> None:
    assert first_event(example("cloudevents-base64", data_base64=encoded)).title == "org.example.plant.pressure"


@pytest.mark.parametrize("data", [b'{"title": NaN}', b'{"title": 1e999}', b'{"title": "\\ud83d"}'])
def test_encoded_json_that_could_not_be_stored_is_a_fault(data: bytes) -> None:
    event = example("cloudevents-base64", data_base64=base64.b64encode(data).decode())
    assert fault_paths(read(event)) == ["data_base64"]
    assert fault_paths(read([event, event])) == ["[0].data_base64", "[1].data_base64"]
