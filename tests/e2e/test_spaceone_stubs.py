"""Every rpc of both services, called by a process that has SpaceONE's own stubs and nothing of ours."""

import re

import pytest

from tests.e2e.foreign import ForeignClient, Refused

PLUGIN = {"plugin_id": "native", "options": {"duplicate_event_time": 300}}


@pytest.fixture
def made(foreign_client: ForeignClient, request: pytest.FixtureRequest) -> dict:
    """A webhook as the reply to Webhook.create."""
    wanted = {"name": request.node.name, "project_id": "project-1", "plugin_info": PLUGIN, "tags": {"team": "a"}}
    return foreign_client.call("Webhook", "create", wanted).reply


def test_events(foreign_client: ForeignClient, made: dict) -> None:
    payload = {"event_key": "cpu", "title": "CPU high", "severity": "warning", "resources": ["web-1", " "]}
    sender = {"webhook_id": made["webhook_id"], "access_key": made["access_key"]}
    created = foreign_client.call("Event", "create", {**sender, "data": payload})
    assert created.reply == {}
    assert created.trailers["event-count"] == ["1"]
    (event_id,) = created.trailers["event-id"]
    event = foreign_client.call("Event", "get", {"event_id": event_id}).reply
    assert re.fullmatch(r"event-[0-9a-f]{12}", event["event_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["created_at"])
    assert event["raw_data"] == payload
    assert (event["event_type"], event["severity"], event["resources"]) == ("ALERT", "WARNING", ["web-1"])
    assert event["alert_id"]
    mine = {"webhook_id": made["webhook_id"]}
    assert foreign_client.call("Event", "list", mine).reply == {"results": [event], "total_count": 1}
    count = {
        "query": {
            "filter": [{"k": "webhook_id", "v": made["webhook_id"], "o": "eq"}],
            "aggregate": [{"count": {"name": "n"}}],
        }
    }
    assert foreign_client.call("Event", "stat", count).reply == {"results": [{"n": 1}]}
    foreign_client.call("Event", "create", {**sender, "data": {"event_key": "cpu", "event_type": "RECOVERY"}})
    rows = foreign_client.call("Event", "list", mine).reply["results"]
    assert [row["event_type"] for row in rows] == ["RECOVERY", "ALERT"]
    assert len({row["alert_id"] for row in rows}) == 1


def test_the_same_idempotency_key_stores_once(foreign_client: ForeignClient, made: dict) -> None:
    order = {"webhook_id": made["webhook_id"], "access_key": made["access_key"], "data": {"event_key": "once"}}
    first = foreign_client.call("Event", "create", order, idempotency_key="key-1")
    again = foreign_client.call("Event", "create", order, idempotency_key="key-1")
    assert "event-duplicate" not in first.trailers
    assert again.trailers["event-duplicate"] == ["true"]
    assert foreign_client.call("Event", "list", {"webhook_id": made["webhook_id"]}).reply["total_count"] == 1
    with pytest.raises(Refused) as caught:
        foreign_client.call("Event", "create", {**order, "data": {"event_key": "other"}}, idempotency_key="key-1")
    assert caught.value.code == "ALREADY_EXISTS"


def test_unparsable_payload_is_stored_and_reported(foreign_client: ForeignClient, made: dict) -> None:
    payload = {"severity": "AWFUL", "$where": {"a.b": [1, None]}}
    order = {"webhook_id": made["webhook_id"], "access_key": made["access_key"], "data": payload}
    answer = foreign_client.call("Event", "create", order)
    assert "event-error" in answer.trailers
    (event,) = foreign_client.call("Event", "list", {"webhook_id": made["webhook_id"]}).reply["results"]
    assert (event["event_type"], event["severity"], event["raw_data"]) == ("ERROR", "CRITICAL", payload)
    assert event["title"] == f"Webhook Event Parsing Error - {made['name']}"


def test_webhooks(foreign_client: ForeignClient, made: dict) -> None:
    this = {"webhook_id": made["webhook_id"]}
    assert made["webhook_url"].endswith(f"/monitoring/v1/webhook/{made['webhook_id']}/{made['access_key']}/events")
    seen = foreign_client.call("Webhook", "get", this).reply
    assert made["access_key"] not in str(seen)
    assert seen["state"] == "ENABLED"
    assert seen["plugin_info"]["options"] == PLUGIN["options"]
    assert foreign_client.call("Webhook", "list", this).reply["results"] == [seen]
    by_key = {"access_key": made["access_key"]}
    assert foreign_client.call("Webhook", "list", by_key).reply["results"] == [seen]
    changed = foreign_client.call("Webhook", "update", {**this, "name": "new", "tags": {"team": "b"}}).reply
    assert (changed["name"], changed["tags"]) == ("new", {"team": "b"})
    changed = foreign_client.call("Webhook", "update_plugin", {**this, "options": {"auto_recovery": False}}).reply
    assert changed["plugin_info"]["options"] == {"auto_recovery": False}
    assert foreign_client.call("Webhook", "verify_plugin", this).reply == {}
    only = {"filter": [{"k": "webhook_id", "v": made["webhook_id"], "o": "eq"}]}
    assert foreign_client.call("Webhook", "stat", {"query": {**only, "distinct": "name"}}).reply == {"results": ["new"]}
    order = {**this, "access_key": made["access_key"], "data": {"event_key": "k"}}
    assert foreign_client.call("Webhook", "disable", this).reply["state"] == "DISABLED"
    with pytest.raises(Refused) as caught:
        foreign_client.call("Event", "create", order)
    assert (
        caught.value.details
        == f"ERROR_WEBHOOK_STATE_DISABLED: Webhook state is disabled. (webhook_id = {made['webhook_id']})"
    )
    assert foreign_client.call("Webhook", "enable", this).reply["state"] == "ENABLED"
    foreign_client.call("Event", "create", order)
    assert foreign_client.call("Webhook", "delete", this).reply == {}
    with pytest.raises(Refused) as caught:
        foreign_client.call("Event", "create", order)
    assert caught.value.code == "NOT_FOUND"


def test_a_wrong_key_is_refused(foreign_client: ForeignClient, made: dict) -> None:
    order = {"webhook_id": made["webhook_id"], "access_key": "wrong", "data": {"event_key": "k"}}
    with pytest.raises(Refused) as caught:
        foreign_client.call("Event", "create", order)
    assert caught.value.code == "PERMISSION_DENIED"


def test_calls_are_counted(foreign_client: ForeignClient, made: dict) -> None:
    sender = {"webhook_id": made["webhook_id"], "access_key": made["access_key"]}
    foreign_client.call("Event", "create", {**sender, "data": {"event_key": "k"}})
    foreign_client.call("Event", "create", {**sender, "data": {"severity": "AWFUL"}})
    seen = foreign_client.call("Webhook", "get", {"webhook_id": made["webhook_id"]}).reply
    assert seen["requests"] == {"total": "2", "error": "1"}
