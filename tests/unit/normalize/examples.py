"""Example payloads, with changed values, for the tests of single formats."""

import copy
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from event_service.model.event import EventDraft
from event_service.normalize import parse
from event_service.normalize.result import Parsed

PAYLOADS = Path(__file__).parent / "payloads"
RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)
ABSENT = object()


def example(name: str, **changes: Any) -> Any:
    """Return a payload with some of its values replaced.

    Args:
        changes: path with `__` between its steps -> value; ABSENT takes it out. `alerts__0__labels__severity="x"`.
    """
    payload = copy.deepcopy(json.loads((PAYLOADS / f"{name}.json").read_text()))
    for path, value in changes.items():
        *steps, last = (int(step) if step.isdigit() else step for step in path.split("__"))
        inner = payload
        for step in steps:
            inner = inner[step]
        if value is ABSENT:
            del inner[last]
        else:
            inner[last] = value
    return payload


def read(payload: Any, options: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Parsed:
    return parse("auto", payload, headers or {}, options or {}, RECEIVED)


def first_event(payload: Any, options: Mapping[str, Any] | None = None) -> EventDraft:
    parsed = read(payload, options)
    assert parsed.faults == []
    return parsed.events[0]


def fault_paths(parsed: Parsed) -> list[str]:
    return [fault.path for item in parsed.bad_items for fault in item.faults]


def sns_message(**fields: Any) -> dict[str, Any]:
    """Return an SNS notification with these fields as its JSON message."""
    return {
        "Type": "Notification",
        "MessageId": "m-1",
        "TopicArn": "arn:aws:sns:eu-central-1:210987654321:ops-alarms",
        "Timestamp": "2025-05-06T07:08:09.123Z",
        "Message": json.dumps(fields),
    }
