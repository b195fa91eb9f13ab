"""Events expire, and `prune` applies changed settings to stored events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from event_service.model.retention import Retention
from event_service.store import indexes, retention
from event_service.store.client import Database
from event_service.store.retention import Group, prune
from tests.contract.test_migration import upstream_event, upstream_webhook

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def stored(number: int, days_old: int, **changes: Any) -> dict[str, Any]:
    return upstream_event(number, created_at=NOW - days_old * DAY, **changes)


def days_left(database: Database) -> dict[int, float | None]:
    """Return for each event the days until it expires; None for never."""
    return {
        int(row["event_id"][6:], 16): (row["expire_at"] - NOW) / DAY if "expire_at" in row else None
        for row in database["event"].find()
    }


@pytest.fixture
def filled(database: Database) -> Database:
    """Return events of webhooks with and without retention_days, of a deleted one, and one without created_at."""
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


def test_dry_run_counts_and_changes_nothing(filled: Database) -> None:
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


def test_prune_applies_the_present_settings(filled: Database) -> None:
    filled["event_rollup"].insert_one({"_id": "counted before"})
    progress_calls: list[int] = []
    done = prune(filled, POLICY, NOW, progress=progress_calls.append)
    assert (done.deleted.total(), done.changed, progress_calls[-1]) == (3, 3, 9)
    assert days_left(filled) == {1: 1, 3: 4, 5: None, 6: None, 8: 27, 9: None}
    assert not filled["event_rollup"].count_documents({})
    again = prune(filled, POLICY, NOW)
    assert (again.deleted.total(), again.changed) == (0, 0)
    # What an alert is and whether it is open does not depend on events that are gone.
    assert filled["alert"].count_documents({}) == filled["condition"].count_documents({}) == 1


def test_prune_without_retention_deletes_nothing(filled: Database) -> None:
    filled["webhook"].delete_many({})
    assert prune(filled, Retention(), NOW).deleted == {}
    assert set(days_left(filled).values()) == {None}


def test_prune_works_in_batches_and_can_be_stopped(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 10)
    database["event"].insert_many([stored(number, 2) for number in range(35)])
    calls = iter([False, False, True])
    first = prune(database, Retention(1), NOW, stop=lambda: next(calls))
    assert first.deleted.total() == 20
    assert database["event"].count_documents({}) == 15
    assert prune(database, Retention(1), NOW).deleted.total() == 15


@pytest.mark.parametrize("database_kind", ["mongomock"], indirect=True)
def test_database_deletes_expired_events(database: Database) -> None:
    """MongoDB deletes expired documents once a minute, mongomock at every read."""
    indexes.ensure(database)
    now = datetime.now(UTC)
    database["event"].insert_many(
        [upstream_event(1, expire_at=now - DAY), upstream_event(2, expire_at=now + DAY), upstream_event(3)]
    )
    assert {row["event_id"][-1] for row in database["event"].find()} == {"2", "3"}
