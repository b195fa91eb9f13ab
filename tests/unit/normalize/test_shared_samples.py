"""Published payloads of tools and vendors give the expected events, if the samples are available.

`../shared/collectors/expected.jsonl` names identities, not keys: equal identities must have equal keys, and different
ones different keys. Its null means that a field is not checked.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from event_service.normalize import parse
from event_service.normalize.result import Parsed
from event_service.wire.timestamps import format_timestamp

COLLECTORS = Path(__file__).parents[4] / "shared" / "collectors"
SAMPLES = COLLECTORS / "samples"
RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the shared samples are not beside this checkout")

EXPECTED = (
    [json.loads(line) for line in (COLLECTORS / "expected.jsonl").read_text().splitlines()] if SAMPLES.is_dir() else []
)
INDEX = {row["sample"]: row for row in json.loads((SAMPLES / "INDEX.json").read_text())} if SAMPLES.is_dir() else {}


def read(sample: str, *, as_struct: bool = False) -> Parsed:
    payload = json.loads((SAMPLES / sample).read_text())
    if as_struct:
        payload = doubles(payload)
    headers = {"content-type": INDEX[sample]["content_type"], **INDEX[sample]["headers"]}
    return parse("auto", payload, headers, {}, RECEIVED)


def doubles(value: Any) -> Any:
    """Return the value as a google.protobuf.Struct would give it."""
    if isinstance(value, dict):
        return {name: doubles(member) for name, member in value.items()}
    if isinstance(value, list):
        return [doubles(member) for member in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda row: row["sample"])
@pytest.mark.parametrize("as_struct", [False, True], ids=["http", "grpc"])
def test_a_sample_becomes_what_is_expected(expected: dict[str, Any], as_struct: bool) -> None:
    parsed = read(expected["sample"], as_struct=as_struct)
    assert parsed.faults == []
    assert len(parsed.events) == len(expected["events"])
    assert bool(parsed.ignored) == (not expected["events"])
    for event, want in zip(parsed.events, expected["events"], strict=True):
        got = {
            "event_type": event.event_type.value,
            "title": event.title,
            "severity": event.severity.value,
            "resources": event.resources,
            "occurred_at": event.occurred_at and format_timestamp(event.occurred_at),
            "provider": event.provider,
            "account": event.account,
            "rule": event.rule,
            "image_url": event.image_url,
        }
        checked = {name: value for name, value in want.items() if name in got and value is not None}
        assert {name: got[name] for name in checked} == checked


def test_equal_identities_and_only_those_have_equal_keys() -> None:
    keys: dict[str, set[str]] = {}
    for expected in EXPECTED:
        for as_struct in (False, True):
            events = read(expected["sample"], as_struct=as_struct).events
            for event, want in zip(events, expected["events"], strict=True):
                keys.setdefault(json.dumps(want["identity"]), set()).add(event.event_key)
    assert [identity for identity, found in keys.items() if len(found) > 1] == []
    assert len({next(iter(found)) for found in keys.values()}) == len(keys)


def test_a_subscription_waits_for_its_confirmation() -> None:
    for expected in EXPECTED:
        waits = expected.get("action") == "confirm_subscription"
        assert (read(expected["sample"]).subscription is not None) == waits
