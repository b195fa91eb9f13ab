"""A database of upstream is used without migration: webhooks deliver, alerts continue, old events are read.

Source: the Event API's rules, differences 16 and 22 and the last sentence of section 6.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest

from event_service.model.webhook import access_key_hash
from event_service.store.client import Database
from tests.conformance.conftest import read_events
from tests.e2e.foreign import ForeignClient, Refused
from tests.e2e.service import Service
from tests.e2e.trust import upstream
from tests.e2e.trust.command_line import CommandLine
from tests.e2e.trust.conftest import Trust

pytestmark = pytest.mark.xdist_group("trust")

NAME = "upstream"
KEYS = {f"webhook-{number}": f"upstream-key-{number}" for number in range(1, 7)}

# What was open when upstream was shut down: event_key -> (age of its newest event, state of its alert).
OPEN = {
    "fresh": (timedelta(seconds=100), "TRIGGERED"),
    "acknowledged": (timedelta(seconds=100), "ACKNOWLEDGED"),
    "old": (timedelta(days=2), "TRIGGERED"),
    "stale": (timedelta(seconds=700), "TRIGGERED"),
    "failed": (timedelta(seconds=100), "ERROR"),
    "over": (timedelta(seconds=100), "RESOLVED"),
}


def alert_id_of(event_key: str) -> str:
    return f"alert-{list(OPEN).index(event_key):012x}"


@pytest.fixture(scope="module")
def database(database: Database) -> Database:
    """Filled before the service starts."""
    found: Database = database.client[NAME]
    found["event"].insert_many(read_events())
    found["webhook"].insert_many([upstream.webhook(webhook_id, key) for webhook_id, key in KEYS.items()])
    found["webhook"].update_one({"webhook_id": "webhook-2"}, {"$set": {"state": "DISABLED"}})
    found["webhook"].update_one({"webhook_id": "webhook-3"}, {"$set": {"plugin_info.plugin_id": "plugin-nope"}})
    now = datetime.now(UTC)
    for number, (event_key, (age, state)) in enumerate(OPEN.items()):
        resolved_at = now - age + timedelta(seconds=10) if state == "RESOLVED" else None
        opened = upstream.alert(number, "webhook-1", now - age, state=state, resolved_at=resolved_at)
        found["alert"].insert_one(opened)
        found["event"].insert_one(upstream.event(opened, event_key, 0xF00 + number))
    return found


@pytest.fixture(scope="module")
def service(database: Database, trust: Trust, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on that database, for its one workspace."""
    settings = {
        "EVENT_SERVICE_MONGODB_URI": trust.uri,
        "EVENT_SERVICE_DATABASE": NAME,
        "EVENT_SERVICE_DEFAULT_DOMAIN_ID": upstream.DOMAIN,
        "EVENT_SERVICE_DEFAULT_WORKSPACE_ID": upstream.WORKSPACE,
    }
    with Service(tmp_path_factory.mktemp("upstream"), settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[ForeignClient]:
    with ForeignClient(service.grpc_address) as client:
        yield client


def send(client: ForeignClient, event_key: str, webhook_id: str = "webhook-1", **data: Any) -> dict[str, Any]:
    """Send an event with the key upstream gave out, and the event as it is listed then."""
    order = {"webhook_id": webhook_id, "access_key": KEYS[webhook_id], "data": {"event_key": event_key, **data}}
    (event_id,) = client.call("Event", "create", order).trailers["event-id"]
    return client.call("Event", "get", {"event_id": event_id}).reply


def stored_alert(database: Database, alert_id: str) -> dict[str, Any]:
    found = database["alert"].find_one({"alert_id": alert_id})
    assert found is not None
    return found


def test_a_key_is_hashed_at_first_use_and_gone(client: ForeignClient, database: Database) -> None:
    before = database["webhook"].find_one({"webhook_id": "webhook-4"})
    assert before is not None
    assert before["access_key"] == KEYS["webhook-4"]  # a start changes nothing yet
    wrong = {"webhook_id": "webhook-4", "access_key": "wrong", "data": {"event_key": "k"}}
    with pytest.raises(Refused) as caught:
        client.call("Event", "create", wrong)
    assert caught.value.code == "PERMISSION_DENIED"
    assert send(client, "k", "webhook-4")["webhook_id"] == "webhook-4"
    after = database["webhook"].find_one({"webhook_id": "webhook-4"})
    assert after is not None
    assert KEYS["webhook-4"].encode() not in bson.encode(after)
    assert after["access_key_hashes"] == [access_key_hash(KEYS["webhook-4"])]
    assert send(client, "k", "webhook-4")["alert_id"]


def test_webhooks_are_shown_masked_and_found_by_their_clear_key(client: ForeignClient) -> None:
    rows = client.call("Webhook", "list", {}).reply["results"]
    assert [row["webhook_id"] for row in rows] == sorted(KEYS)
    assert not any(key in str(rows) for key in KEYS.values())
    found = client.call("Webhook", "list", {"access_key": KEYS["webhook-5"]}).reply["results"]
    assert [row["webhook_id"] for row in found] == ["webhook-5"]
    assert found[0]["requests"]["total"] == "41"
    assert found[0]["tags"] == {"team": "upstream"}


def test_what_upstream_had_disabled_is_disabled(client: ForeignClient) -> None:
    order = {"webhook_id": "webhook-2", "access_key": KEYS["webhook-2"], "data": {"event_key": "k"}}
    with pytest.raises(Refused, match="ERROR_WEBHOOK_STATE_DISABLED"):
        client.call("Event", "create", order)
    client.call("Webhook", "enable", {"webhook_id": "webhook-2"})
    assert send(client, "k", "webhook-2")["event_type"] == "ALERT"


def test_a_webhook_whose_plugin_is_not_there_loses_nothing(client: ForeignClient) -> None:
    event = send(client, "k", "webhook-3", title="kept")
    assert (event["event_type"], event["raw_data"]) == ("ERROR", {"event_key": "k", "title": "kept"})
    assert "plugin-nope" in event["description"]


@pytest.mark.parametrize("event_key", ["fresh", "acknowledged", "failed"])
def test_an_alert_within_600_seconds_joins(client: ForeignClient, database: Database, event_key: str) -> None:
    assert send(client, event_key)["alert_id"] == alert_id_of(event_key)
    assert stored_alert(database, alert_id_of(event_key))["state"] == OPEN[event_key][1]


def test_a_recovery_resolves_whatever_its_age(client: ForeignClient, database: Database) -> None:
    assert send(client, "old", event_type="RECOVERY")["alert_id"] == alert_id_of("old")
    after = stored_alert(database, alert_id_of("old"))
    assert after["state"] == "RESOLVED"
    assert isinstance(after["resolved_at"], datetime)
    assert after["alert_number"] == list(OPEN).index("old")  # the rest of upstream's document stays


def test_a_later_alert_supersedes(client: ForeignClient, database: Database) -> None:
    new = send(client, "stale")["alert_id"]
    assert new != alert_id_of("stale")
    assert stored_alert(database, alert_id_of("stale"))["state"] == "RESOLVED"
    assert stored_alert(database, new)["state"] == "TRIGGERED"


def test_what_upstream_had_resolved_stays_resolved(client: ForeignClient, database: Database) -> None:
    recovery = {"event_key": "over", "event_type": "RECOVERY"}
    order = {"webhook_id": "webhook-1", "access_key": KEYS["webhook-1"], "data": recovery}
    assert client.call("Event", "create", order).trailers["event-count"] == ["0"]
    assert send(client, "over")["alert_id"] != alert_id_of("over")
    assert stored_alert(database, alert_id_of("over"))["state"] == "RESOLVED"


def own_scope() -> list[dict[str, Any]]:
    """Return the recorded events that the service's workspace holds."""
    wanted = (upstream.DOMAIN, upstream.WORKSPACE)
    return [row for row in read_events() if (row["domain_id"], row["workspace_id"]) == wanted]


RECORDED = {"query": {"filter": [{"k": "event_id", "v": [row["event_id"] for row in own_scope()], "o": "in"}]}}


def recorded(client: ForeignClient) -> dict[str, dict[str, Any]]:
    """Return the recorded events as they are listed."""
    listed = client.call("Event", "list", RECORDED).reply
    assert listed["total_count"] == len(listed["results"])
    return {row["event_id"]: row for row in listed["results"]}


def test_old_events_are_listed_and_counted(client: ForeignClient) -> None:
    rows = recorded(client)
    assert rows.keys() == {row["event_id"] for row in own_scope()}
    for document in own_scope():
        row = rows[document["event_id"]]
        assert row["raw_data"] == document["raw_data"]
        assert row["additional_info"] == document.get("additional_info", {})
        assert row.get("title", "") == (document.get("title") or "")
        assert row["created_at"] == document["created_at"].strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        assert client.call("Event", "get", {"event_id": document["event_id"]}).reply == row
    group = {"keys": [{"k": "severity", "n": "severity"}], "fields": [{"o": "count", "n": "count"}]}
    query = {**RECORDED["query"], "aggregate": [{"group": group}]}
    counted = client.call("Event", "stat", {"query": query}).reply["results"]
    assert sum(row["count"] for row in counted) == len(rows)


def test_foreign_old_events_are_not_seen(client: ForeignClient) -> None:
    foreign = next(row for row in read_events() if row["domain_id"] != upstream.DOMAIN)
    with pytest.raises(Refused) as caught:
        client.call("Event", "get", {"event_id": foreign["event_id"]})
    assert caught.value.code == "NOT_FOUND"


def test_check_and_migrate_while_it_runs(
    client: ForeignClient, database: Database, line: CommandLine, trust: Trust
) -> None:
    """Last: nothing is left for the others to hash."""
    line.set(EVENT_SERVICE_MONGODB_URI=trust.uri, EVENT_SERVICE_DATABASE=NAME)
    findings = {one["what"]: one for one in line.json("db", "check")}
    assert findings["schema"]["detail"] == "version 1"
    assert findings["indexes"]["verdict"] == "ok"
    assert findings["access keys"]["verdict"] == "warning"
    assert findings["events"]["detail"].startswith("306 without")
    before = recorded(client)
    done = line.json("db", "migrate")
    assert (done["events"], done["events_left"]) == (306, 0)
    assert 1 <= done["access_keys"] <= len(KEYS)
    assert recorded(client) == before
    assert database["event"].count_documents({"wire": {"$exists": False}}) == 0
    for webhook in database["webhook"].find():
        assert not any(key.encode() in bson.encode(webhook) for key in KEYS.values())
    assert send(client, "after", "webhook-6")["event_type"] == "ALERT"
    assert "Hashed 0 access keys; encoded 0 events" in line.out("db", "migrate")
    said = line.out("db", "check")
    assert "none stored in clear" in said
    assert "all have an encoded reply" in said
