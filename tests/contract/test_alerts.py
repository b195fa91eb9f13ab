"""Alerts on a real mongod: numbers, totals, changes by hand, lists, and alerts of earlier versions."""

import random
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from event_service.alerts.transitions import AlertChange
from event_service.alerts.upkeep import AlertUpkeep
from event_service.errors import InvalidArgument, NotFound
from event_service.model.event import Severity
from event_service.model.scope import Scope
from event_service.query.fields import ALERT_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.store.alert_numbers import AlertNumbers
from event_service.store.alert_reader import AlertPage, AlertReader
from event_service.store.client import Database
from event_service.store.maintenance import alert_fields
from event_service.store.maintenance.alert_states import Disagreements, find
from event_service.store.open_alerts import OpenAlerts
from tests.contract.test_committer import ALERT, ERROR, NOON, RECOVERY, Bench

pytestmark = pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)  # mongomock has no transactions

SCOPE = Scope("domain", "workspace")


@pytest.fixture
def bench(database: Database) -> Bench:
    return Bench(database)


@pytest.fixture
def reader(database: Database) -> AlertReader:
    return AlertReader(database)


def listed(reader: AlertReader, equals: dict[str, Any] | None = None, **query: Any) -> AlertPage:
    return reader.list(SCOPE, parse_list_query(query, equals or {}, ALERT_FIELDS))


def the_alert(bench: Bench, key: str = "a") -> dict[str, Any]:
    """Return the newest alert of a key."""
    condition = bench.database["condition"].find_one({"event_key": key})
    assert condition is not None
    row = bench.database["alert"].find_one({"alert_id": condition["alert"]["alert_id"]})
    assert row is not None
    return row


# --- numbers ----------------------------------------------------------------------------------------------------


def test_numbers_are_unique_among_replicas_and_threads(database: Database) -> None:
    taken: list[int] = []

    def take(numbers: AlertNumbers) -> None:
        for count in (1, 3, 20, 2, 50):
            taken.extend(numbers.take("domain", "workspace", count))

    replicas = [AlertNumbers(database, 5000) for _ in range(2)]
    threads = [threading.Thread(target=take, args=[replica]) for replica in replicas * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 4 * 76
    assert min(taken) == 1


def test_each_workspace_has_its_own_numbers(database: Database) -> None:
    numbers = AlertNumbers(database, 5000)
    assert list(numbers.take("domain", "one", 2)) == [1, 2]
    assert list(numbers.take("domain", "two", 1)) == [1]
    assert list(numbers.take("domain", "one", 1)) == [3]


def test_numbers_go_on_after_those_of_upstream(database: Database) -> None:
    database["alert"].insert_one({"domain_id": "domain", "workspace_id": "workspace", "alert_number": 41})
    assert list(AlertNumbers(database, 5000).take("domain", "workspace", 1)) == [42]


def test_few_alerts_cost_a_counter_write(database: Database, bench: Bench) -> None:
    for number in range(30):
        bench.run(bench.item((ALERT, f"key-{number}", 0)))
    rows = list(database["alert"].find().sort("alert_number"))
    assert [row["alert_number"] for row in rows] == list(range(1, 31))
    counter = database["alert_counter"].find_one()
    assert counter is not None
    assert counter["last"] >= 30


# --- totals -----------------------------------------------------------------------------------------------------


def test_alert_is_kept_current_by_its_events(bench: Bench) -> None:
    def send(kind: Any, seconds: float, severity: Severity, *resources: str) -> None:
        item = bench.item((kind, "a", seconds))
        item.entries[0].built.event.draft.severity = severity
        item.entries[0].built.event.draft.resources = list(resources)
        bench.run(item)

    send(ALERT, 0, Severity.WARNING, "db-1")
    send(ALERT, 10, Severity.CRITICAL, "db-2", "db-1")
    send(ALERT, 20, Severity.INFO)
    row = the_alert(bench)
    assert (row["severity"], row["urgency"]) == ("CRITICAL", "LOW")
    assert [one["name"] for one in row["resources"]] == ["db-1", "db-2"]
    assert (row["event_count"], row["first_event_at"]) == (3, NOON)
    assert row["last_event_at"] == row["updated_at"] == NOON + timedelta(seconds=20)
    send(RECOVERY, 30, Severity.NONE, "db-3")
    row = the_alert(bench)
    assert (row["state"], row["event_count"], row["severity"]) == ("RESOLVED", 4, "CRITICAL")
    assert row["updated_at"] == NOON + timedelta(seconds=30)


def test_events_of_one_batch_are_counted_together(bench: Bench) -> None:
    bench.run(*(bench.item((ALERT, "a", second), (ERROR, "a", second)) for second in range(5)))
    row = the_alert(bench)
    assert row["event_count"] == 10
    assert row["last_event_at"] == NOON + timedelta(seconds=4)


def test_resources_end_at_a_hundred(bench: Bench) -> None:
    for start in (0, 60, 120):
        item = bench.item((ALERT, "a", start))
        item.entries[0].built.event.draft.resources = [f"node-{number}" for number in range(start, start + 60)]
        bench.run(item)
    assert [one["name"] for one in the_alert(bench)["resources"]] == [f"node-{number}" for number in range(100)]


def test_condition_of_an_earlier_version_keeps_the_severity_of_its_alert(bench: Bench) -> None:
    item = bench.item((ALERT, "a", 0))
    item.entries[0].built.event.draft.severity = Severity.CRITICAL
    bench.run(item)
    bench.database["condition"].update_many({}, {"$unset": {"severity": "", "resources": ""}})
    bench.run(bench.item((ALERT, "a", 1)))
    assert the_alert(bench)["severity"] == "CRITICAL"


# --- changes by hand --------------------------------------------------------------------------------------------


def test_alert_after_a_manual_resolution_is_the_next_one(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    first = the_alert(bench)
    bench.change(first["alert_id"], "resolve", 10)
    bench.run(bench.item((RECOVERY, "a", 11)))
    assert the_alert(bench)["resolved_by"] == "MANUAL"
    bench.run(bench.item((ALERT, "a", 20)))
    assert the_alert(bench)["alert_id"] != first["alert_id"]
    with pytest.raises(InvalidArgument):
        bench.change(first["alert_id"], "reopen", 21)


def test_repeated_firing_stays_with_the_alert_that_was_resolved_by_hand(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    bench.change(the_alert(bench)["alert_id"], "resolve", 10)
    late = bench.item((ALERT, "a", 1000))
    late.entries[0].built.event.draft.occurred_at = NOON
    bench.run(late)
    row = the_alert(bench)
    assert (row["state"], row["event_count"]) == ("RESOLVED", 2)


def test_firing_after_the_end_for_want_of_news_opens_the_next_alert(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    first = the_alert(bench)
    bench.change(first["alert_id"], "expire", 7200)
    assert the_alert(bench)["resolved_by"] == "NO_NEWS"
    again = bench.item((ALERT, "a", 7300))
    again.entries[0].built.event.draft.occurred_at = NOON
    bench.run(again)
    row = the_alert(bench)
    assert row["alert_id"] != first["alert_id"]
    assert row["state"] == "TRIGGERED"


def test_reopened_alert_takes_events_and_recovers(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    alert_id = the_alert(bench)["alert_id"]
    bench.change(alert_id, "resolve", 10)
    bench.change(alert_id, "reopen", 1000)
    assert the_alert(bench)["resolved_at"] is None
    bench.run(bench.item((ALERT, "a", 1100)))
    assert the_alert(bench)["alert_id"] == alert_id
    bench.run(bench.item((RECOVERY, "a", 1200)))
    assert the_alert(bench)["resolved_by"] == "RECOVERED"


def test_two_resolutions_at_once_are_one(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    alert_id = the_alert(bench)["alert_id"]
    changes: list[AlertChange] = []
    threads = [
        threading.Thread(target=lambda second=second: changes.append(bench.change(alert_id, "resolve", second)))
        for second in (1, 2, 3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [bool(change) for change in changes].count(True) == 1
    assert find(bench.database, 5000) == Disagreements()


def test_foreign_alert_is_not_found(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    with pytest.raises(NotFound):
        bench.changes.change(Scope("elsewhere"), the_alert(bench)["alert_id"], NOON, lambda *_: AlertChange())
    with pytest.raises(NotFound):
        bench.changes.delete(Scope("domain", "workspace", ("other",)), the_alert(bench)["alert_id"])


def test_deleted_alert_leaves_no_reference(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)), bench.item((ALERT, "b", 0)))
    before = bench.stored("a")[0]
    bench.changes.delete(SCOPE, before["alert_id"])
    (event,) = bench.stored("a")
    assert (event["alert"], event["alert_id"]) == (None, None)
    assert before["alert_id"].encode() in before["wire"]
    assert before["alert_id"].encode() not in event["wire"]
    assert bench.database["alert"].count_documents({}) == 1
    bench.run(bench.item((RECOVERY, "a", 1)), bench.item((ALERT, "a", 2)))
    assert the_alert(bench)["alert_id"] != before["alert_id"]
    assert find(bench.database, 5000) == Disagreements()


def test_random_sequences_end_in_the_states_of_the_model(bench: Bench) -> None:
    """The model knows the rules of docs/alerts.md only; all times ascend, so that no event is outdated."""
    chance = random.Random(21)
    model: dict[str, str] = {}  # key -> state of its newest alert
    count: dict[str, int] = {}  # key -> number of its alerts
    keys = [f"key-{number}" for number in range(40)]
    for second in range(0, 1200, 100):
        items = []
        for key in keys:
            state, event = model.get(key, "RESOLVED"), chance.choice((ALERT, ALERT, RECOVERY, None, None))
            if event is not None:
                items.append(bench.item((event, key, second)))
            if event is ALERT and state == "RESOLVED":
                model[key], count[key] = "TRIGGERED", count.get(key, 0) + 1
            elif event is RECOVERY and key in model:
                model[key] = "RESOLVED"
        bench.run(*items)
        for key in chance.sample(keys, 12):
            if key not in model:
                continue
            change = chance.choice(("resolve", "acknowledge", "reopen", "expire"))
            if change == "acknowledge" and model[key] == "RESOLVED":
                with pytest.raises(InvalidArgument):
                    bench.change(the_alert(bench, key)["alert_id"], change, second + 1)
                continue
            bench.change(the_alert(bench, key)["alert_id"], change, second + 1)
            model[key] = {"acknowledge": "ACKNOWLEDGED", "reopen": "TRIGGERED"}.get(change, "RESOLVED")
    assert {key: the_alert(bench, key)["state"] for key in model} == model
    alerts = bench.database["alert"]
    assert {key: alerts.count_documents({"title": f"ALERT of {key}"}) for key in count} == count
    assert find(bench.database, 5000) == Disagreements()


# --- without news -----------------------------------------------------------------------------------------------


def upkeep(bench: Bench, hours: float, seen: list[Any] | None = None, **options: Any) -> AlertUpkeep:
    """Return the upkeep of a replica, `hours` after noon."""
    shown: list[Any] = [] if seen is None else seen
    now = NOON + timedelta(hours=hours)
    return AlertUpkeep(
        OpenAlerts(bench.database, 5000), bench.changes, lambda *one: shown.extend(one), clock=lambda: now, **options
    )


@pytest.fixture
def hook(bench: Bench) -> None:
    """Store a webhook that resolves alerts after two hours."""
    options = {"auto_resolve_hours": 2.0}
    owner = {"webhook_id": "webhook", "domain_id": "domain", "workspace_id": "workspace"}
    bench.database["webhook"].insert_one({**owner, "plugin_info": {"options": options}})


@pytest.mark.usefixtures("hook")
def test_alert_without_news_is_resolved_once_by_two_replicas(bench: Bench) -> None:
    bench.run(*(bench.item((ALERT, key, 0)) for key in "ab"))
    bench.run(bench.item((ALERT, "b", 300)))
    assert upkeep(bench, 1.9).round() == 0
    replicas = [upkeep(Bench(bench.database), 2.01) for _ in range(2)]
    resolved: list[int] = []
    threads = [
        threading.Thread(target=lambda replica=replica: resolved.append(replica.round())) for replica in replicas
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(resolved) == 1
    assert (the_alert(bench, "a")["state"], the_alert(bench, "a")["resolved_by"]) == ("RESOLVED", "NO_NEWS")
    assert the_alert(bench, "b")["state"] == "TRIGGERED"
    assert find(bench.database, 5000) == Disagreements()


@pytest.mark.usefixtures("hook")
def test_event_that_joins_meanwhile_keeps_its_alert_open(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    stale = list(OpenAlerts(bench.database, 5000).stale(NOON + timedelta(hours=3)))
    assert len(stale) == 1
    late = bench.item((ALERT, "a", 10_000))
    late.rules = replace(late.rules, duplicate_event_time=timedelta(hours=9))
    bench.run(late)
    monkeypatch.setattr(OpenAlerts, "stale", lambda *_: iter(stale))
    assert upkeep(bench, 3).round() == 0
    assert the_alert(bench)["state"] == "TRIGGERED"


@pytest.mark.usefixtures("hook")
def test_alerts_are_resolved_by_the_holder_of_the_lease_and_counted_by_all(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    seen: list[Any] = []
    assert upkeep(bench, 3, seen, may_resolve=lambda: False).round() == 0
    assert seen[0] == {("NONE", "webhook"): 1}
    assert upkeep(bench, 3, may_resolve=lambda: True).round() == 1


def test_alerts_of_other_webhooks_stay_open(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    seen: list[Any] = []
    assert upkeep(bench, 10_000, seen).round() == 0
    assert seen == [{("NONE", "webhook"): 1}, {"NONE": 36_000_000}]


# --- lists ------------------------------------------------------------------------------------------------------


def test_lists_and_statistics(bench: Bench, reader: AlertReader) -> None:
    for number, key in enumerate("abc"):
        item = bench.item((ALERT, key, number))
        item.entries[0].built.event.draft.resources = [f"node-{key}", "shared"]
        bench.run(item)
    bench.run(bench.item((RECOVERY, "b", 5)))
    titles = [row["title"] for row in listed(reader).rows]
    assert titles == ["ALERT of c", "ALERT of b", "ALERT of a"]
    still_open = [{"k": "state", "v": ["TRIGGERED", "ACKNOWLEDGED", "ERROR"], "o": "in"}]
    assert listed(reader, filter=still_open).total_count == 2
    assert listed(reader, {"resource": "node-b"}).rows[0]["state"] == "RESOLVED"
    assert [row["title"] for row in listed(reader, sort=[{"key": "resource"}]).rows] == sorted(titles)
    assert [row["title"] for row in listed(reader, keyword="of a").rows] == titles  # both words match by OR
    assert listed(reader, {"alert_number": 2}).rows[0]["title"] == "ALERT of b"
    (selected,) = listed(reader, {"alert_number": 2}, only=["title", "resource"]).rows
    assert selected == {"title": "ALERT of b", "resources": [{"name": "node-b"}, {"name": "shared"}]}
    unwound = listed(reader, {"alert_number": 2}, only=["resources"], unwind={"path": "resources"})
    assert [row["resources"] for row in unwound.rows] == [[{"name": "node-b"}], [{"name": "shared"}]]
    assert unwound.total_count == 2
    assert listed(reader, page={"limit": 2}).total_count == 3
    distinct = parse_stat_query({"distinct": "resource"}, ALERT_FIELDS)
    assert reader.stat(SCOPE, distinct) == {"results": ["node-a", "node-b", "node-c", "shared"]}
    group = {"keys": [{"k": "state", "n": "state"}], "fields": [{"n": "n", "o": "count"}]}
    counted = reader.stat(SCOPE, parse_stat_query({"aggregate": [{"group": group}]}, ALERT_FIELDS))
    assert {row["state"]: row["n"] for row in counted["results"]} == {"TRIGGERED": 2, "RESOLVED": 1}


@pytest.mark.parametrize("scope", [Scope("elsewhere"), Scope("domain", "other"), Scope("domain", "workspace", ())])
def test_lists_are_scoped(bench: Bench, reader: AlertReader, scope: Scope) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    assert reader.get(scope, the_alert(bench)["alert_id"]) is None
    assert reader.list(scope, parse_list_query({}, {}, ALERT_FIELDS)) == AlertPage()


# --- alerts of earlier versions and of upstream -----------------------------------------------------------------


def test_alerts_of_an_earlier_version_are_completed(bench: Bench, reader: AlertReader) -> None:
    bench.run(bench.item((ALERT, "a", 0)), bench.item((ALERT, "a", 1)), bench.item((ALERT, "b", 2)))
    bench.run(bench.item((ALERT, "a", 700)))
    before = {row["_id"]: row for row in bench.database["alert"].find()}
    added = ("alert_number", "condition_id", "event_count", "first_event_at", "last_event_at")
    bench.database["alert"].update_many({}, {"$unset": dict.fromkeys(added, ""), "$set": {"resources": ["db-1"]}})
    bench.database["alert_counter"].delete_many({})
    assert reader.get(SCOPE, the_alert(bench)["alert_id"]) is not None
    assert alert_fields.complete(bench.database, 5000) == 3
    for row in bench.database["alert"].find():
        old = before[row["_id"]]
        assert row["resources"] == [{"name": "db-1"}]
        assert {name: row[name] for name in added[1:]} == {name: old[name] for name in added[1:]}
    numbered = bench.database["alert"].find().sort([("created_at", 1), ("_id", 1)])
    assert [row["alert_number"] for row in numbered] == [1, 2, 3]
    assert alert_fields.complete(bench.database, 5000) == 0


@pytest.mark.parametrize("upstream", [False, True])
def test_alert_that_does_not_name_its_condition_is_resolved_with_it(bench: Bench, upstream: bool) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    row = the_alert(bench)
    alert_id = row["alert_id"]
    bench.database["alert"].update_many({}, {"$unset": {"condition_id": ""}})
    if upstream:
        alert_id = "alert-0123456789ab"
        bench.database["condition"].delete_many({})
        bench.database["alert"].delete_many({})
        del row["condition_id"]
        other = bench.database["alert"].insert_one({**row, "_id": ObjectId(), "alert_id": alert_id}).inserted_id
        bench.database["event"].update_many({}, {"$set": {"alert_id": alert_id, "alert": other}})
    bench.change(alert_id, "resolve", 10)
    condition = bench.database["condition"].find_one()
    assert condition is not None
    assert (condition["open"], condition["alert"]["alert_id"]) == (False, alert_id)
    bench.run(bench.item((ALERT, "a", 20)))
    assert the_alert(bench)["alert_id"] != alert_id
    assert bench.database["alert"].count_documents({"state": "RESOLVED"}) == 1


def test_condition_of_an_alert_whose_events_have_expired_is_found(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    bench.database["alert"].update_many({}, {"$unset": {"condition_id": ""}})
    bench.database["event"].delete_many({})
    bench.change(the_alert(bench)["alert_id"], "resolve", 10)
    assert find(bench.database, 5000) == Disagreements()


def test_upstream_alert_is_read(database: Database, reader: AlertReader) -> None:
    database["alert"].insert_one(
        {
            "alert_id": "alert-1",
            "alert_number": 7,
            "state": "ODD",
            "urgency": "HIGH",
            "resources": [{"resource_id": "r-1", "name": "db-1"}, 5],
            "additional_info": None,
            "escalation_ttl": 3,
            "assignee": None,
            "project_dependencies": [ObjectId()],
            "domain_id": "domain",
            "workspace_id": "workspace",
            "created_at": NOON,
        }
    )
    found = reader.get(SCOPE, "alert-1")
    assert found is not None
    assert found["resources"] == [{"resource_id": "r-1", "name": "db-1"}]
    assert (found["alert_number"], found["escalation_ttl"], found["created_at"]) == (7, 3, NOON)
    assert "project_dependencies" not in found
