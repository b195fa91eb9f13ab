"""Payloads of tools at a running service: previewed, stored and read back as expected."""

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import httpx
import psutil
import pytest

from bench.parsers import thousand_alerts
from event_service.normalize.registry import UNLIKELY_TIME
from tests.e2e.deliveries import FIELDS, Collectors, Delivered, Sample, own_samples, shared_samples
from tests.e2e.service import CHECKOUT, Service
from tests.unit.normalize.test_payloads import EXPECTED as OWN_EXPECTED
from tests.unit.normalize.test_payloads import PAYLOADS, SAME_CONDITION

pytestmark = pytest.mark.xdist_group("collectors")

SHARED = CHECKOUT.parent / "shared" / "collectors"
SHARED_EXPECTED: dict[str, dict[str, Any]] = (
    {row["sample"]: row for row in map(json.loads, (SHARED / "expected.jsonl").read_text().splitlines())}
    if SHARED.is_dir()
    else {}
)
SAMPLES = shared_samples(SHARED / "samples") if SHARED.is_dir() else []
OWN = own_samples(PAYLOADS, SAME_CONDITION)

Deliver = Callable[[Sample], Delivered]


@pytest.fixture(scope="module")
def deliver(collectors: Collectors) -> Deliver:
    """Deliver each sample once, to a separate webhook."""

    @cache
    def by_name(name: str) -> Delivered:
        return collectors.deliver({sample.name: sample for sample in (*SAMPLES, *OWN)}[name])

    return lambda sample: by_name(sample.name)


def without_identity(row: dict[str, Any]) -> dict[str, Any]:
    """Return an event without what only a stored one has."""
    return {name: value for name, value in row.items() if name not in ("event_id", "alert_id", "created_at")}


def told(row: dict[str, Any], name: str) -> Any:
    """A field of an event; protobuf leaves out what is empty."""
    return row.get(name, [] if name == "resources" else "")


def check_stored(delivered: Delivered) -> None:
    """Assert that preview and stored events are equal, and that each recovery has the id of its alert."""
    assert (delivered.answer.status_code, delivered.answer.json()) == (200, {})
    assert "event-error" not in delivered.answer.headers
    assert delivered.shown.get("faults", []) == []
    shown = delivered.shown.get("events", [])
    assert len(delivered.stored) == len(shown)
    alerts = dict(delivered.opened)
    for row, preview in zip(delivered.stored, shown, strict=True):
        before = preview
        assert row["event_id"]
        if row["additional_info"].get("event_state") == "normal":
            # Cloud Eye's word for a recovery, if its condition was ever in trouble, which only the store knows.
            before = {**before, "event_type": row["event_type"]}
        assert without_identity(row) == without_identity(before)
        if row["event_type"] == "RECOVERY":
            assert row["alert_id"] == alerts[row["event_key"]]
        alerts[row["event_key"]] = row["alert_id"]


@pytest.mark.skipif(not SAMPLES, reason="the shared samples are not beside this checkout")
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_shared_sample(deliver: Deliver, sample: Sample) -> None:
    delivered, expected = deliver(sample), SHARED_EXPECTED[sample.name]
    check_stored(delivered)
    if expected.get("action") == "confirm_subscription":  # of an untrusted topic
        (link,) = delivered.stored
        assert link["additional_info"]["subscribe_url"] in link["description"]
        return
    assert len(delivered.stored) == len(expected["events"])
    assert bool(delivered.shown.get("ignored")) == (not expected["events"])
    for row, want in zip(delivered.stored, expected["events"], strict=True):
        checked = {name: value for name, value in want.items() if name in FIELDS and value is not None}
        assert {name: told(row, name) for name in checked} == checked


@pytest.mark.skipif(not SAMPLES, reason="the shared samples are not beside this checkout")
def test_equal_identities_and_only_those_have_equal_keys(deliver: Deliver) -> None:
    assert len(SAMPLES) == len(SHARED_EXPECTED) == 40
    keys: dict[str, set[str]] = {}
    for sample in SAMPLES:
        expected = SHARED_EXPECTED[sample.name]["events"]
        for row, want in zip(deliver(sample).stored, expected, strict=False):
            keys.setdefault(json.dumps(want["identity"]), set()).add(row["event_key"])
    assert [identity for identity, found in keys.items() if len(found) > 1] == []
    assert len({next(iter(found)) for found in keys.values()}) == len(keys)


@pytest.mark.parametrize("sample", OWN, ids=lambda sample: sample.name)
def test_a_payload_of_our_own(deliver: Deliver, sample: Sample) -> None:
    delivered, expected = deliver(sample), OWN_EXPECTED[sample.name]
    check_stored(delivered)
    assert delivered.shown["parser"] == expected["source"]
    if sample.name == "aws-sns-subscription":
        assert [row["additional_info"]["topic_arn"] for row in delivered.stored]
        return
    ignored = [remark for remark in delivered.shown.get("ignored", []) if remark != UNLIKELY_TIME]
    assert ignored == expected.get("ignored", [])
    # Formats written by hand lose a time that is more than a year ago, as these will be.
    fields = [name for name in FIELDS if name != "occurred_at" or expected["source"] != "generic"]
    shown = [{name: row[name] for name in fields if row.get(name)} for row in delivered.shown.get("events", [])]
    assert shown == [{name: row[name] for name in fields if name in row} for row in expected["events"]]


def test_a_thousand_alerts_in_one_post_are_one_write(service: Service, collectors: Collectors) -> None:
    webhook_id, url = collectors.webhook("thousand")
    process = psutil.Process(service.pid)

    def commits() -> int:
        text = httpx.get(f"http://{service.http_address}/metrics").text
        found = re.search(r"^event_service_commit_seconds_count (\d+)", text, re.MULTILINE)
        return int(found[1]) if found else 0

    before, began = commits(), process.cpu_times()
    answer = collectors.post(url, thousand_alerts())
    ended = process.cpu_times()
    assert answer.headers["event-count"] == "1000"
    assert commits() == before + 1
    cpu = ended.user + ended.system - began.user - began.system
    print(f"1000 alerts: {cpu * 1000:.0f} ms of the service's CPU")
    assert cpu < 1.0
    rows = collectors.ask("/monitoring/v1/event/list", webhook_id=webhook_id, query={"page": {"limit": 1}})
    assert rows["total_count"] == 1000
    assert len(rows["results"][0]["raw_data"]["alerts"]) == 1
