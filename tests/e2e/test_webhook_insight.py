"""Preview, statistics, errors and replay of a webhook at a running service."""

import hashlib
import hmac
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from event_service.wire.timestamps import format_timestamp
from tests.e2e.commands import CommandLine
from tests.e2e.deliveries import Collectors
from tests.e2e.service import CHECKOUT, Service
from tests.unit.normalize.sns_messages import TOPIC, confirmation, notification, signed

PAYLOADS = CHECKOUT / "tests" / "unit" / "normalize" / "payloads"

ACKNOWLEDGED = {"event_action": "acknowledge", "routing_key": "r", "dedup_key": "d"}


def test_preview_shows_the_events_of_a_payload(run: CommandLine, collectors: Collectors) -> None:
    webhook_id, _ = collectors.webhook("dry run")
    payload = (PAYLOADS / "alertmanager-firing.json").read_text()
    shown = run("webhook", "test", webhook_id, "--json", stdin=payload).json
    assert (shown["parser"], len(shown["events"])) == ("alertmanager", 2)
    text = run("webhook", "test", webhook_id, str(PAYLOADS / "alertmanager-firing.json")).out
    assert "Parser: alertmanager." in text
    assert "Filesystem on node-1:9100 is almost full" in text
    assert "Ignored: alerts cut off by the sender" in text

    headers = ("-H", "ce-specversion: 1.0", "-H", "ce-id:1", "-H", "ce-source: /s", "-H", "ce-type: a.b.opened")
    assert "Parser: cloudevents." in run("webhook", "test", webhook_id, *headers, stdin='{"title": "t"}').out
    text = run("webhook", "test", webhook_id, stdin="{not json").out
    assert "Not parsed: the body is not JSON" in text
    assert "{not json" in text
    assert "The payload has no events." in run("webhook", "test", webhook_id, stdin=json.dumps(ACKNOWLEDGED)).out

    for arguments, status, said in (
        ((webhook_id, "-H", "no colon"), 2, "name:value"),
        ((webhook_id, "/no/such/file"), 2, "Cannot read"),
        (("webhook-000000000000",), 1, "ERROR_NOT_FOUND"),
        ((webhook_id,), 1, "ERROR_REQUIRED_PARAMETER"),
    ):
        done = run("webhook", "test", *arguments, stdin="" if status == 1 and webhook_id in arguments else "{}x")
        assert (done.status, said in done.err) == (status, True), done.err
    assert collectors.events(webhook_id) == [], "nothing is stored"


def test_statistics_of_deliveries(run: CommandLine, collectors: Collectors) -> None:
    webhook_id, url = collectors.webhook("counted")
    fresh = run("webhook", "get", webhook_id, "--json").json
    assert (fresh["statistics"]["calls"], "last_received_at" in fresh["statistics"]) == (0, False)

    collectors.post(url, {"results": [{"event_key": "k"}, {"event_key": "k2"}, {"event_key": 5}]})
    for _ in range(2):
        collectors.post(url, {"event_key": "k"}, **{"idempotency-key": "once"})
    collectors.post(url, {"event_key": "never", "event_type": "RECOVERY"})
    collectors.post(url, ACKNOWLEDGED)
    assert collectors.post(url, {"event_key": "other"}, **{"idempotency-key": "once"}).status_code == 409
    assert collectors.post(url, b'{"event_key": "k", "deep": ' + b"[" * 90 + b"]" * 90 + b"}").status_code == 400

    shown = run("webhook", "get", webhook_id, "--json").json
    statistics = shown["statistics"]
    assert statistics.pop("last_received_at") <= statistics.pop("last_error_at")
    assert "deep" in statistics.pop("last_error")
    assert statistics == {
        "calls": 7, "stored": 4, "errors": 1, "duplicates": 1, "unmatched_recoveries": 1, "refused": 2,
        "ignored": {"acknowledge": 1},
    }  # fmt: skip
    assert shown["requests"] == {"total": 7, "error": 1}
    text = run("webhook", "get", webhook_id).out
    for line in (
        "events stored  4, 1 of them parse errors",
        "duplicates  1",
        "recoveries without an alert  1",
        "ignored  1 acknowledge",
        "refused                      2",
    ):
        assert " ".join(line.split()) in " ".join(text.split())


def test_replay_stores_events_once_after_the_webhook_is_fixed(run: CommandLine, collectors: Collectors) -> None:
    webhook_id, url = collectors.webhook("doors", "mapping", mapping={"event_key": "nr", "title": "name"})
    at = format_timestamp(datetime.now(UTC) - timedelta(days=3))
    collectors.post(url, {"number": 7, "label": "Door", "at": at})
    (error,) = collectors.events(webhook_id)
    assert error["event_type"] == "ERROR"
    still = run("event", "replay", error["event_id"], "--json").json
    assert (still["event_count"], bool(still["errors"])) == (0, True)

    mapping = {"event_key": "number", "title": "label", "occurred_at": "at"}
    path = "/monitoring/v1/webhook/update-plugin"
    collectors.ask(path, webhook_id=webhook_id, options={"mapping": mapping})
    replayed = run("event", "replay", error["event_id"], "--json").json
    assert (replayed["event_count"], replayed["duplicate"], replayed["parser"]) == (1, False, "mapping")
    text = run("event", "replay", error["event_id"]).out
    assert "stored before" in text
    assert replayed["event_ids"][0] in text
    rows = collectors.events(webhook_id)
    assert [(row["event_type"], row["title"]) for row in rows[1:]] == [("ALERT", "Door")]
    assert rows[1]["additional_info"]["replayed_from"] == error["event_id"]
    assert rows[1]["occurred_at"] == at

    refused = run("event", "replay", rows[1]["event_id"])
    assert (refused.status, "event_id" in refused.err) == (1, True)
    assert run("event", "replay", "event-000000000000").status == 1


def test_unsigned_deliveries_are_refused_where_a_signature_is_demanded(
    run: CommandLine, service: Service, collectors: Collectors
) -> None:
    secret = "s-" + hashlib.sha256(os.urandom(8)).hexdigest()
    webhook_id, url = collectors.webhook("sentry", sentry_client_secret=secret)
    body = (PAYLOADS / "sentry-issue-created.json").read_bytes()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"sentry-hook-resource": "issue", "content-type": "application/json"}
    assert collectors.post(url, body, **headers, **{"sentry-hook-signature": signature}).status_code == 200
    for given in ({}, {"sentry-hook-signature": "0" * 64}):
        answer = collectors.post(url, body, **headers, **given)
        assert (answer.status_code, answer.json()["detail"]["code"]) == (403, "ERROR_PERMISSION_DENIED")
    access_key = url.split("/")[-2]
    by_grpc = run("event", "send", "--webhook-id", webhook_id, "--access-key", access_key, stdin='{"event_key": "k"}')
    assert "signature of Sentry" in by_grpc.err
    assert len(collectors.events(webhook_id)) == 1
    shown = run("webhook", "get", webhook_id, "--json").out
    assert json.loads(shown)["statistics"]["refused"] == 3
    assert secret not in shown
    assert secret not in service.log
    for path in service.data_dir.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_unsigned_sns_links_and_forged_messages_are_refused(collectors: Collectors) -> None:
    webhook_id, url = collectors.webhook("trusting", sns_topics=[TOPIC])
    subscription = collectors.post(url, signed(confirmation()))
    assert subscription.status_code == 200
    (link,) = collectors.events(webhook_id)
    assert link["additional_info"]["subscribe_url"] == confirmation()["SubscribeURL"]
    assert "too far from now" in link["description"]
    assert collectors.post(url, signed(notification())).status_code == 403
    assert collectors.post(url, {"event_key": "k"}).status_code == 403
    assert len(collectors.events(webhook_id)) == 1


def test_alerts_per_minute_limits_a_flooding_collector(
    make_service: Callable[..., Service], own_database: dict[str, str]
) -> None:
    with make_service(EVENT_SERVICE_ALERTS_PER_MINUTE="1000", **own_database) as capped:
        collectors = Collectors(capped)
        webhook_id, url = collectors.webhook("wild", alerts_per_minute=3)
        _, other = collectors.webhook("calm")
        collectors.post(url, {"results": [{"event_key": f"k{number}"} for number in range(10)]})
        collectors.post(other, {"event_key": "k"})
        rows = collectors.events(webhook_id)
        alerts = [row["alert_id"] for row in rows]
        assert (len(rows), len(set(alerts)), len(set(alerts[3:]))) == (10, 4, 1)
        collectors.close()
