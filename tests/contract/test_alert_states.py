"""Conditions and alerts that disagree are found and repaired; those that agree stay as they are."""

from typing import Any

import pytest

from event_service.store.client import Database
from event_service.store.maintenance import alert_states
from event_service.store.maintenance.alert_states import Disagreements, find, repair
from event_service.store.maintenance.inspection import Observation, Verdict, inspect
from tests.contract.test_committer import ALERT, RECOVERY, Bench

pytestmark = pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)  # mongomock has no transactions


@pytest.fixture
def bench(database: Database, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a database with open and closed conditions that agree, more than one batch of them."""
    monkeypatch.setattr(alert_states, "_BATCH", 2)
    bench = Bench(database)
    bench.run(*(bench.item((ALERT, key, 0)) for key in "abcde"))
    bench.run(bench.item((RECOVERY, "d", 1)), bench.item((RECOVERY, "e", 1)))
    bench.run(bench.item((ALERT, "c", 601)), bench.item((ALERT, "e", 601)))
    assert found(bench) == Disagreements()
    return bench


def found(bench: Bench) -> Disagreements:
    return find(bench.database, 5000)


def observed(bench: Bench) -> Observation:
    return next(one for one in inspect(bench.database, 5000) if one.what == "alerts")


def state_of(bench: Bench, key: str) -> tuple[bool, list[str]]:
    """Return whether the condition is open, and the states of its alerts in their order."""
    condition = bench.database["condition"].find_one({"event_key": key})
    assert condition is not None
    ids = [row["alert_id"] for row in bench.stored(key)]
    alerts = bench.database["alert"].find({"alert_id": {"$in": ids}}).sort("created_at")
    return condition["open"], [row["state"] for row in alerts]


def newest_alert(bench: Bench, key: str) -> dict[str, Any]:
    condition = bench.database["condition"].find_one({"event_key": key})
    assert condition is not None
    return {"_id": condition["alert"]["id"]}


def test_what_agrees_is_not_changed(bench: Bench) -> None:
    before = bench.contents()
    assert repair(bench.database, 5000) == Disagreements()
    assert bench.contents() == before
    assert observed(bench).verdict is Verdict.OK


def test_a_condition_with_a_resolved_alert_is_closed(bench: Bench) -> None:
    bench.database["alert"].update_one(newest_alert(bench, "b"), {"$set": {"state": "RESOLVED"}})
    assert found(bench) == Disagreements(conditions=1)
    assert observed(bench).verdict is Verdict.WARNING
    assert repair(bench.database, 5000) == Disagreements(conditions=1)
    assert found(bench) == Disagreements()
    bench.run(bench.item((ALERT, "b", 2)))
    assert state_of(bench, "b") == (True, ["RESOLVED", "TRIGGERED"])


def test_a_condition_without_its_alert_is_closed(bench: Bench) -> None:
    bench.database["alert"].delete_one(newest_alert(bench, "a"))
    assert repair(bench.database, 5000) == Disagreements(conditions=1)
    assert state_of(bench, "a") == (False, [])


def test_an_alert_of_a_closed_condition_is_resolved(bench: Bench) -> None:
    bench.database["alert"].update_one(newest_alert(bench, "d"), {"$set": {"state": "TRIGGERED"}})
    assert repair(bench.database, 5000) == Disagreements(alerts=1)
    assert found(bench) == Disagreements()
    assert state_of(bench, "d") == (False, ["RESOLVED"])


def test_an_earlier_alert_of_an_open_condition_is_resolved(bench: Bench) -> None:
    bench.database["alert"].update_many({"title": "ALERT of c"}, {"$set": {"state": "TRIGGERED"}})
    assert repair(bench.database, 5000) == Disagreements(alerts=1)
    assert state_of(bench, "c") == (True, ["RESOLVED", "TRIGGERED"])


def test_an_alert_that_no_event_carries_is_resolved(bench: Bench) -> None:
    """It was opened by a replica whose condition another one wrote first."""
    before = bench.database["condition"].find_one({"event_key": "d"})
    assert before is not None
    bench.run(bench.item((ALERT, "d", 5)))
    bench.database["event"].delete_many({"created_at": {"$gt": bench.stored("d")[0]["created_at"]}, "event_key": "d"})
    bench.database["condition"].replace_one({"event_key": "d"}, before)
    assert found(bench) == Disagreements(alerts=1)
    assert repair(bench.database, 5000) == Disagreements(alerts=1)
    assert found(bench) == Disagreements()


def test_alerts_of_upstream_are_repaired_once_they_are_taken_over(bench: Bench) -> None:
    owner = {"domain_id": "domain", "workspace_id": "workspace", "project_id": "project", "webhook_id": "webhook"}
    for key in ("old", "older"):
        event = {"event_id": f"event-{key}", "event_key": key, "event_type": "ALERT", "alert_id": f"alert-{key}"}
        bench.database["event"].insert_one({**event, "created_at": bench.stored("a")[0]["created_at"], **owner})
        bench.database["alert"].insert_one({"alert_id": f"alert-{key}", "state": "ACKNOWLEDGED", **owner})
    assert found(bench) == Disagreements()
    bench.run(bench.item((RECOVERY, "old", 1)))
    bench.database["alert"].update_one({"alert_id": "alert-old"}, {"$set": {"state": "ACKNOWLEDGED"}})
    assert repair(bench.database, 5000) == Disagreements(alerts=1)
    states = {
        row["alert_id"]: row["state"]
        for row in bench.database["alert"].find({"alert_id": {"$in": ["alert-old", "alert-older"]}})
    }
    assert states == {"alert-old": "RESOLVED", "alert-older": "ACKNOWLEDGED"}
