"""Events go when they are to go, and stored ones follow a change of the settings when they are told to."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from event_service.model.retention import Retention
from event_service.store import indexes, retention
from event_service.store.client import Database
from event_service.store.retention import Group, has_old_index, prune, replace_in_background, replace_old_index
from tests.contract.test_migration import upstream_event, upstream_webhook

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def stored(number: int, days_old: int, **changes: Any) -> dict[str, Any]:
    return upstream_event(number, created_at=NOW - days_old * DAY, **changes)


def days_left(database: Database) -> dict[int, float | None]:
    """By number of the event: in how many days it goes; None = never."""
    return {
        int(row["event_id"][6:], 16): (row["expire_at"] - NOW) / DAY if "expire_at" in row else None
        for row in database["event"].find()
    }


@pytest.fixture
def filled(database: Database, database_kind: str) -> Database:
    """One webhook with a word of its own, one without, one that is gone; and an event without a time."""
    # No indexes: what is deleted here is deleted by us, not by the server's TTL.
    database["webhook"].insert_many(
        [
            upstream_webhook(1, name="short", plugin_info={"plugin_id": "native", "options": {"retention_days": 2.0}}),
            upstream_webhook(2, name="plain"),
        ]
    )
    database["event"].insert_many(
        [
            stored(1, 1, webhook_id="webhook-1"),
            stored(2, 3, webhook_id="webhook-1"),
            stored(3, 3, webhook_id="webhook-2"),
            stored(4, 8, webhook_id="webhook-2"),
            stored(5, 8, webhook_id="webhook-2", severity="CRITICAL"),
            stored(6, 40, webhook_id="webhook-2", severity="CRITICAL", expire_at=NOW + 5 * DAY),
            stored(7, 40, webhook_id="webhook-9", severity="WARNING"),
            stored(8, 3, webhook_id="webhook-9", severity="WARNING", expire_at=NOW + 27 * DAY),
            upstream_event(9, created_at=None),
        ]
    )
    database["alert"].insert_one({"alert_id": "alert-000000000004", "state": "TRIGGERED"})
    database["condition"].insert_one({"_id": "c", "open": True})
    return database


POLICY = Retention(30, {"INFO": 7, "CRITICAL": 0})


def test_what_would_go_is_counted_and_nothing_is_changed(filled: Database) -> None:
    before = days_left(filled)
    found = prune(filled, POLICY, NOW, dry_run=True)
    assert found.deleted == {
        Group("webhook-1", "INFO"): 1,
        Group("webhook-2", "INFO"): 1,
        Group("webhook-9", "WARNING"): 1,
    }
    assert found.changed == 3
    assert found.names == {"webhook-1": "short", "webhook-2": "plain"}
    assert days_left(filled) == before


def test_stored_events_follow_when_they_are_told_to(filled: Database) -> None:
    filled["event_tally"].insert_one({"_id": "counted before"})
    told: list[int] = []
    done = prune(filled, POLICY, NOW, progress=told.append)
    assert (done.deleted.total(), done.changed, told[-1]) == (3, 3, 9)
    assert days_left(filled) == {1: 1, 3: 4, 5: None, 6: None, 8: 27, 9: None}
    assert not filled["event_tally"].count_documents({})
    again = prune(filled, POLICY, NOW)
    assert (again.deleted.total(), again.changed) == (0, 0)
    # What an alert is and whether it is open does not depend on events that are gone.
    assert filled["alert"].count_documents({}) == filled["condition"].count_documents({}) == 1


def test_with_everything_kept_no_event_goes(filled: Database) -> None:
    filled["webhook"].delete_many({})
    assert prune(filled, Retention(), NOW).deleted == {}
    assert set(days_left(filled).values()) == {None}


def test_it_works_in_batches_and_can_be_stopped(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 10)
    database["event"].insert_many([stored(number, 2) for number in range(35)])
    calls = iter([False, False, True])
    first = prune(database, Retention(1), NOW, stop=lambda: next(calls))
    assert first.deleted.total() == 20
    assert database["event"].count_documents({}) == 15
    assert prune(database, Retention(1), NOW).deleted.total() == 15


def test_only_what_carries_no_day_is_given_one(filled: Database) -> None:
    prune(filled, POLICY, NOW, only_unstamped=True)
    left = days_left(filled)
    assert left[6] == 5
    assert left[3] == 4
    assert 4 not in left


@pytest.fixture
def of_an_earlier_version(database: Database, database_kind: str) -> Database:
    """A database whose events go by a TTL index on created_at."""
    direction = 1 if database_kind == "embedded" else -1
    events = database["event"]
    events.create_index([("created_at", direction)], name=indexes.RETENTION, expireAfterSeconds=30 * 86_400)
    recent = datetime.now(UTC).replace(microsecond=0)
    events.insert_many([upstream_event(number, created_at=recent - number * DAY) for number in range(1, 4)])
    indexes.ensure(database, embedded=database_kind == "embedded")
    return database


def test_an_earlier_versions_index_stays_until_every_event_carries_its_day(
    of_an_earlier_version: Database, database_kind: str
) -> None:
    database = of_an_earlier_version
    assert has_old_index(database)
    replace_old_index(database, Retention(30), stop=lambda: True)
    assert has_old_index(database)
    replacing = replace_in_background(database, Retention(30))
    assert replacing.wait(30)
    assert not has_old_index(database)
    for row in database["event"].find():
        assert row["expire_at"] - row["created_at"] == 30 * DAY
    difference = indexes.diff(database, indexes.wanted(embedded=database_kind == "embedded"))
    assert difference.missing == difference.changed == ()


def test_without_retention_an_earlier_versions_index_just_goes(of_an_earlier_version: Database) -> None:
    replace_old_index(of_an_earlier_version, Retention())
    assert not has_old_index(of_an_earlier_version)
    assert not any("expire_at" in row for row in of_an_earlier_version["event"].find())


@pytest.mark.parametrize("database_kind", ["mongomock"], indirect=True)
def test_the_database_deletes_what_is_over(database: Database) -> None:
    """Servers look once a minute, mongomock whenever it is asked; the embedded database has `store/expiry.py`."""
    indexes.ensure(database, embedded=False)
    now = datetime.now(UTC)
    database["event"].insert_many(
        [upstream_event(1, expire_at=now - DAY), upstream_event(2, expire_at=now + DAY), upstream_event(3)]
    )
    assert {row["event_id"][-1] for row in database["event"].find()} == {"2", "3"}
