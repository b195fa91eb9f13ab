"""Every rpc of SpaceONE's services, called by a process that has SpaceONE's own stubs and nothing of ours."""

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


def test_alerts(foreign_client: ForeignClient, made: dict) -> None:
    sender = {"webhook_id": made["webhook_id"], "access_key": made["access_key"]}
    mine = {"webhook_id": made["webhook_id"]}

    def send(**payload: object) -> None:
        foreign_client.call("Event", "create", {**sender, "data": {"event_key": "disk", **payload}})

    def alert(method: str, **request: object) -> dict:
        return foreign_client.call("Alert", method, request).reply

    send(title="Disk full", severity="warning", resources=["db-1"], additional_info={"mount": "/var"})
    send(title="again", severity="critical", resources=["db-2", "db-1"])
    (row,) = alert("list", **mine, state="TRIGGERED")["results"]
    this = {"alert_id": row["alert_id"]}
    assert alert("get", **this) == row
    assert re.fullmatch(r"alert-[0-9a-f]{12}", row["alert_id"])
    assert (row["title"], row["state"], row["urgency"], row["severity"]) == (
        "Disk full",
        "TRIGGERED",
        "LOW",
        "CRITICAL",
    )
    assert row["resources"] == [{"name": "db-1"}, {"name": "db-2"}]
    assert row["additional_info"] == {"mount": "/var"}
    assert row["triggered_by"] == row["webhook_id"] == made["webhook_id"]
    assert row["updated_at"] >= row["created_at"]
    assert alert("list", **mine, alert_number=row["alert_number"])["results"] == [row]
    assert alert("list", **mine, resource="db-2", urgency="LOW", severity="CRITICAL")["results"] == [row]
    assert "results" not in alert("list", **mine, resource="db-3")
    assert alert("list", **mine, query={"minimal": True})["results"] == [
        {name: row[name] for name in ("alert_number", "alert_id", "title", "state", "urgency", "project_id")}
    ]
    of_webhook = [{"k": "webhook_id", "v": made["webhook_id"], "o": "eq"}]
    assert alert("stat", query={"filter": of_webhook, "distinct": "resource"}) == {"results": ["db-1", "db-2"]}
    changed = alert("update", **this, title="Disk of db-1 is full", urgency="HIGH", state="ACKNOWLEDGED")
    assert (changed["title"], changed["urgency"], changed["state"]) == ("Disk of db-1 is full", "HIGH", "ACKNOWLEDGED")
    assert changed["acknowledged_at"]
    assert alert("assign_user", **this, assignee="kim@example.org")["assignee"] == "kim@example.org"
    send(title="still", occurred_at=changed["acknowledged_at"])
    assert alert("list", **mine)["total_count"] == 1
    assert alert("update", **this, state="RESOLVED")["resolved_at"]
    assert alert("update", **this, state="RESOLVED")["state"] == "RESOLVED"
    send(title="late", occurred_at=changed["acknowledged_at"])
    assert [one["state"] for one in alert("list", **mine)["results"]] == ["RESOLVED"]
    assert alert("update", **this, state="TRIGGERED")["state"] == "TRIGGERED"
    alert("update", **this, state="RESOLVED")
    send(title="anew")
    newer, older = alert("list", **mine)["results"]
    assert (newer["state"], older["state"]) == ("TRIGGERED", "RESOLVED")
    assert newer["alert_number"] > older["alert_number"]
    with pytest.raises(Refused) as caught:
        alert("update", **this, state="TRIGGERED")
    assert caught.value.code == "INVALID_ARGUMENT"
    assert newer["alert_id"] in caught.value.details
    assert alert("delete", alert_id=newer["alert_id"]) == {}
    events = foreign_client.call("Event", "list", mine).reply["results"]
    assert {event.get("alert_id", "") for event in events} == {"", older["alert_id"]}
    assert alert("list", **mine)["results"] == [older]


def test_alert_by_hand(foreign_client: ForeignClient) -> None:
    wanted = {"title": " Call the provider ", "project_id": "project-1", "description": "why", "assignee": "kim"}
    made = foreign_client.call("Alert", "create", wanted).reply
    assert (made["title"], made["state"], made["urgency"]) == ("Call the provider", "TRIGGERED", "HIGH")
    assert made["triggered_by"] == "anonymous"
    this = {"alert_id": made["alert_id"]}
    assert "description" not in foreign_client.call("Alert", "update", {**this, "reset_description": True}).reply
    for state in ("RESOLVED", "TRIGGERED", "ACKNOWLEDGED", "RESOLVED"):
        assert foreign_client.call("Alert", "update", {**this, "state": state}).reply["state"] == state
    foreign_client.call("Alert", "delete", this)
    with pytest.raises(Refused) as caught:
        foreign_client.call("Alert", "get", this)
    assert caught.value.code == "NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "request_", "code", "named"),
    [
        ("create", {"project_id": "p"}, "INVALID_ARGUMENT", "title"),
        ("create", {"title": " ", "project_id": "p"}, "INVALID_ARGUMENT", "title"),
        ("create", {"title": "t"}, "INVALID_ARGUMENT", "project_id"),
        ("create", {"title": "t", "project_id": "*"}, "INVALID_ARGUMENT", "project_id"),
        ("create", {"title": "t" * 1001, "project_id": "p"}, "INVALID_ARGUMENT", "title"),
        ("create", {"title": "t", "project_id": "p", "urgency": 7}, "INVALID_ARGUMENT", "urgency"),
        ("update", {}, "INVALID_ARGUMENT", "alert_id"),
        ("update", {"alert_id": "alert-0", "state": "ERROR"}, "INVALID_ARGUMENT", "state"),
        ("update", {"alert_id": "alert-0", "state": "resolved"}, "INVALID_ARGUMENT", "state"),
        (
            "update",
            {"alert_id": "alert-0", "description": "d", "reset_description": True},
            "INVALID_ARGUMENT",
            "reset_description",
        ),
        ("update", {"alert_id": "alert-0", "state": "RESOLVED"}, "NOT_FOUND", "alert_id"),
        ("assign_user", {"alert_id": "alert-0"}, "INVALID_ARGUMENT", "assignee"),
        ("delete", {"alert_id": "alert-0"}, "NOT_FOUND", "alert_id"),
        ("get", {}, "INVALID_ARGUMENT", "alert_id"),
        ("list", {"state": 9}, "INVALID_ARGUMENT", "state"),
        ("list", {"query": {"sort": [{}]}}, "INVALID_ARGUMENT", "query.sort[0].key"),
        ("stat", {}, "INVALID_ARGUMENT", "query"),
        ("update_state", {"alert_id": "alert-0", "access_key": "k"}, "UNIMPLEMENTED", "Alert.update"),
    ],
)
def test_bad_input_to_alerts(foreign_client: ForeignClient, method: str, request_: dict, code: str, named: str) -> None:
    with pytest.raises(Refused) as caught:
        foreign_client.call("Alert", method, request_)
    assert caught.value.code == code
    assert named in caught.value.details


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
