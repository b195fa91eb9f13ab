"""Payloads over the limits of one delivery are kept whole and not split."""

import json
from typing import Any

import pytest

from event_service.normalize import AUTO, parse, result
from event_service.normalize.result import MOST_EVENTS, Parsed
from tests.unit.normalize.sns_messages import NOW, notification

MANY_FIELDS = {f"field{number}": number for number in range(1000)}
ALERT = {"status": "firing", "labels": {"alertname": "a"}, "fingerprint": "f"}
PATH_OPTIONS = {"mapping": {"items": "all.alerts", "title": "labels.alertname"}}


def whole(parsed: Parsed, payload: Any) -> str:
    """Return the only fault of a payload that was kept whole."""
    assert parsed.events == []
    (item,) = parsed.bad_items
    assert item.raw_data == (payload if isinstance(payload, dict) else {"body": payload})
    (fault,) = item.faults
    assert fault.kind == "too-much"
    return str(fault)


@pytest.mark.parametrize(
    ("plugin_id", "member"),
    [
        (AUTO, {"title": "t"}),
        (AUTO, 1),
        ("native", {"event_key": "k"}),
        ("cloudevents", {"specversion": "1.0", "type": "t", "source": "s", "id": "i"}),
        ("cloud-eye", {}),
    ],
)
def test_list_over_the_limit_kept_whole(plugin_id: str, member: Any) -> None:
    payload = [member] * (MOST_EVENTS + 1)
    fault = whole(parse(plugin_id, payload, {}, {}, NOW), payload)
    assert fault == "has 10001 members; the limit of one delivery is 10000 events; send it in parts"


@pytest.mark.parametrize(
    ("payload", "options", "path"),
    [
        ({"version": "4", "groupKey": "g", "alerts": [ALERT] * (MOST_EVENTS + 1)}, {}, "alerts"),
        ({"version": "4", "groupKey": "g", **MANY_FIELDS, "alerts": [ALERT] * 1000}, {}, "alerts"),
        ({**MANY_FIELDS, "results": [{"event_key": "k"}] * 1000}, {}, "results"),
        ({"all": {**MANY_FIELDS, "alerts": [ALERT] * 1000}}, PATH_OPTIONS, "all.alerts"),
        ({"all": {"alerts": [ALERT] * (MOST_EVENTS + 1)}}, {"mapping": {"items": "*.alerts[]", "title": "x"}}, "*.al"),
    ],
)
def test_object_repeated_too_often_kept_whole(payload: Any, options: dict[str, Any], path: str) -> None:
    assert whole(parse(AUTO, payload, {}, options, NOW), payload).startswith(path)


def test_list_with_too_many_events_in_total_kept_whole() -> None:
    payload = [{"alerts": [{"title": "t"}] * 2000}] * 6
    assert "more than 10000 events" in whole(parse(AUTO, payload, {}, {}, NOW), payload)
    payload = [{**MANY_FIELDS, "alerts": [{"title": "t"}] * 500}] * 3
    whole(parse(AUTO, payload, {}, {}, NOW), payload)


def test_sns_message_repeated_too_often_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = {"version": "4", "groupKey": "g", "status": "firing", "x": "x" * 1000, "alerts": [ALERT] * 10}
    message = notification(Message=json.dumps(inner))
    assert len(parse(AUTO, message, {}, {}, NOW).events) == 10
    monkeypatch.setattr("event_service.normalize.aws_sns.MOST_BYTES", 10_000)
    assert whole(parse(AUTO, message, {}, {}, NOW), message).startswith("Message: makes 10 events")


def test_list_without_objects_is_one_fault() -> None:
    (item,) = parse(AUTO, [1] * 5000, {}, {}, NOW).bad_items
    assert item.raw_data == {"body": [1] * 5000}
    assert str(item.faults[0]) == "must be a list of JSON objects"


def test_single_member_among_many_fields_accepted() -> None:
    fields = {f"field{number}": number for number in range(result.MOST_FIELDS // 10)}
    assert len(parse(AUTO, {**fields, "alerts": [{"title": "t"}]}, {}, {}, NOW).events) == 1
