"""The alert rate limit on a real store: no event is lost, and one alert stands for the suppressed ones."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from event_service.alerts.rate_reports import AlertRateReports
from event_service.events.alert_rate_limit import SUPPRESSING_KEY
from event_service.events.alert_rules import AlertRules
from event_service.events.write_request import CreateResult, WriteRequest
from event_service.model.event import EventType
from event_service.model.retention import Retention
from event_service.store.client import Database
from event_service.store.indexes import ensure
from event_service.store.maintenance.alert_states import Disagreements, find
from event_service.store.open_alerts import OpenAlerts
from event_service.store.transaction import Conflict
from tests.contract.test_committer import ALERT, NOON, RECOVERY, RULES, Bench, Interrupted

pytestmark = pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)  # mongomock has no transactions

CAPPED = AlertRules(RULES.duplicate_event_time, alerts_per_minute=2)


class CappedBench(Bench):
    """The same with a limit of two alerts a minute."""

    rules = CAPPED

    def item(self, *events: tuple[EventType, str, float], key: str = "", digest: str = "d") -> WriteRequest:
        item = super().item(*events, key=key, digest=digest)
        item.rules = self.rules
        return item

    def alerts_of(self, *keys: str) -> list[Any]:
        """The alert of each key's newest event, numbered in the order they are met; None for no event."""
        numbers: dict[str, int] = {}
        rows = [(self.stored(key) or [{}])[-1].get("alert_id") for key in keys]
        return [None if row is None else numbers.setdefault(row, len(numbers)) for row in rows]

    def reports(self, seconds: float) -> AlertRateReports:
        """Return the reports of a replica, `seconds` after noon."""
        return AlertRateReports(
            OpenAlerts(self.database, 5000),
            self.alerts,
            self.changes,
            Retention(),
            clock=lambda: NOON + timedelta(seconds=seconds),
        )

    def reported(self) -> list[tuple[str, str]]:
        """Return title and alert_id of all reports."""
        return [
            (event["title"], event["alert_id"])
            for event in self.stored(SUPPRESSING_KEY)
            if event["event_type"] == "RECOVERY"
        ]


@pytest.fixture
def bench(database: Database) -> CappedBench:
    ensure(database)
    return CappedBench(database)


def test_suppressed_events_share_one_alert(bench: CappedBench) -> None:
    bench.run(bench.item(*((ALERT, key, 0) for key in "abcde")))
    assert bench.alerts_of(*"abcde") == [0, 1, 2, 2, 2]
    assert bench.alert_states() == [("TRIGGERED", None)] * 3
    suppressing_alert = bench.database["alert"].find_one({"title": "More than 2 new alerts within a minute"})
    assert suppressing_alert is not None
    assert suppressing_alert["alert_id"] == bench.stored("c")[0]["alert_id"]


def test_limit_spans_batches(bench: CappedBench) -> None:
    for second, key in enumerate("abcd"):
        bench.run(bench.item((ALERT, key, second)))
    assert bench.alerts_of(*"abcd") == [0, 1, 2, 2]


def test_report_after_the_minute_and_alerts_open_again(bench: CappedBench) -> None:
    bench.run(bench.item(*((ALERT, key, 0) for key in "abcd")))
    assert bench.reports(59.9).round() == 0
    assert bench.reports(61).round() == 1
    (report,) = bench.stored(SUPPRESSING_KEY)
    assert report["title"] == "2 events beyond 2 new alerts within a minute"
    assert report["additional_info"] == {"alerts_opened": 2, "events_folded": 2, "limit": 2}
    assert report["created_at"] == NOON + timedelta(seconds=61)
    assert (report["event_type"], report["alert_id"]) == ("RECOVERY", bench.stored("c")[0]["alert_id"])
    assert bench.alert_states() == [("RESOLVED", "RECOVERED")] + [("TRIGGERED", None)] * 2
    bench.run(bench.item((ALERT, "c", 62), (ALERT, "d", 63), (ALERT, "e", 64)))
    assert bench.alerts_of("c", "d", "e") == [0, 1, 2]
    assert len(bench.alert_states()) == 6, "the next minute has its own suppressing alert"


def test_open_alert_takes_further_events_over_the_limit(bench: CappedBench) -> None:
    bench.run(bench.item((ALERT, "a", 0), (ALERT, "b", 0), (ALERT, "c", 0)))
    bench.run(bench.item((ALERT, "a", 1), (RECOVERY, "b", 2)))
    assert bench.alerts_of("a", "b", "c") == [0, 1, 2]
    assert bench.alert_states() == [("RESOLVED", "RECOVERED")] + [("TRIGGERED", None)] * 2
    bench.run(bench.item((ALERT, "a", 602)))
    assert ("RESOLVED", "SUPERSEDED") in bench.alert_states()


def test_recovery_of_a_suppressed_alert_is_unmatched(bench: CappedBench) -> None:
    bench.run(bench.item(*((ALERT, key, 0) for key in "abc")))
    (result,) = bench.run(bench.item((RECOVERY, "c", 1)))
    assert result.unmatched == ("c",)  # type: ignore[union-attr]
    assert bench.alert_states() == [("TRIGGERED", None)] * 3


def test_events_decided_again_are_counted_once(bench: CappedBench) -> None:
    def lose() -> None:
        raise Conflict

    events = Interrupted(bench.events, "insert", lose, times=3)
    bench.commit = bench.committer(events=events)
    bench.run(bench.item(*((ALERT, key, 0) for key in "abc")))
    assert events.left == 0
    assert bench.alerts_of(*"abc") == [0, 1, 2]
    bench.reports(60).round()
    assert [title for title, _ in bench.reported()] == ["1 event beyond 2 new alerts within a minute"]


def test_replicas_keep_the_limit_together(bench: CappedBench) -> None:
    bench.rules = replace(CAPPED, alerts_per_minute=8)
    replicas = [bench.committer() for _ in range(4)]
    for number in range(16):
        replicas[number % 4]([bench.item((ALERT, f"k{number}", number / 10))])
    assert bench.database["alert"].count_documents({"title": {"$regex": "^ALERT"}}) == 8
    suppressing = bench.database["alert"].find_one({"rule": "alerts_per_minute"})
    assert suppressing is not None
    assert suppressing["event_count"] == 8
    replicas[0]([bench.item((ALERT, "next", 60))])
    assert bench.database["alert"].count_documents({"title": {"$regex": "^ALERT"}}) == 9


def test_replica_started_within_the_minute_keeps_the_limit(bench: CappedBench) -> None:
    bench.run(bench.item((ALERT, "a", 0), (ALERT, "b", 0)))
    bench.committer()([bench.item((ALERT, "c", 1))])
    assert bench.alerts_of(*"abc") == [0, 1, 2]
    assert bench.database["alert"].count_documents({"rule": "alerts_per_minute"}) == 1


def test_outdated_alerts_do_not_count(bench: CappedBench) -> None:
    """They are opened RESOLVED, and alert no one."""
    keys = [f"old-{number}" for number in range(5)]
    bench.run(bench.item(*((RECOVERY, key, 5) for key in keys), *((ALERT, key, 4) for key in keys)))
    assert bench.alert_states() == [("RESOLVED", None)] * 5
    bench.committer()([bench.item((ALERT, "a", 6), (ALERT, "b", 6), (ALERT, "c", 6))])
    assert bench.alerts_of("a", "b", "c") == [0, 1, 2]
    suppressing = bench.database["alert"].find_one({"rule": "alerts_per_minute"})
    assert suppressing is not None
    assert suppressing["alert_id"] == bench.stored("c")[0]["alert_id"]


def test_two_replicas_store_one_report(bench: CappedBench) -> None:
    for webhook in range(4):
        item = bench.item(*((ALERT, f"{webhook}-{number}", 0) for number in range(5)))
        for entry in item.entries:
            entry.built.event.webhook_id = f"webhook-{webhook}"
            entry.key = entry.key._replace(webhook_id=f"webhook-{webhook}")
            entry.condition_id = f"{webhook}-{entry.condition_id}"
        bench.run(item)
    rounds: list[int] = []
    replicas = [CappedBench(bench.database).reports(60) for _ in range(2)]
    threads = [threading.Thread(target=lambda replica=replica: rounds.append(replica.round())) for replica in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(rounds), sum(rounds)) == (2, 4)
    assert [title for title, _ in bench.reported()] == ["3 events beyond 2 new alerts within a minute"] * 4
    assert bench.database["alert"].count_documents({"rule": "alerts_per_minute", "state": "RESOLVED"}) == 4
    assert find(bench.database, 5000) == Disagreements()


def test_every_suppressed_event_is_in_exactly_one_report(bench: CappedBench) -> None:
    """Also one that is written after the report of its minute, and one of the next minute before that report."""
    steps = [(58, 0), (61, 0), (61.5, 61.6), (59, 0), (62, 63), (119, 0), (121, 130), (119, 131)]
    for number, (received, reported) in enumerate(steps):
        bench.run(bench.item(*((ALERT, f"{number}-{place}", received) for place in range(5))))
        if reported:
            bench.reports(reported).round()
    bench.reports(300).round()
    totals: dict[str, int] = {}
    for title, alert_id in bench.reported():
        assert alert_id not in totals
        totals[alert_id] = int(title.split()[0])
    for alert in bench.database["alert"].find({"rule": "alerts_per_minute"}):
        events = bench.database["event"].count_documents({"alert_id": alert["alert_id"], "event_type": "ALERT"})
        assert (alert["state"], totals.pop(alert["alert_id"]), alert["event_count"]) == ("RESOLVED", events, events + 1)
    assert totals == {}
    assert find(bench.database, 5000) == Disagreements()


def test_report_of_an_alert_that_a_person_has_resolved(bench: CappedBench) -> None:
    bench.run(bench.item(*((ALERT, key, 0) for key in "abc")))
    alert_id = bench.stored("c")[0]["alert_id"]
    bench.change(alert_id, "resolve", 30)
    bench.reports(60).round()
    assert bench.reported() == [("1 event beyond 2 new alerts within a minute", alert_id)]
    assert ("RESOLVED", "MANUAL") in bench.alert_states()
    assert bench.reports(61).round() == 0


def test_alert_deleted_before_its_report_is_not_reported(bench: CappedBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run(bench.item(*((ALERT, key, 0) for key in "abc")))
    due = OpenAlerts(bench.database, 5000).due_reports(NOON + timedelta(seconds=60))
    bench.changes.delete(due[0].scope, due[0].alert_id)
    monkeypatch.setattr(OpenAlerts, "due_reports", lambda *_: due)
    assert bench.reports(60).round() == 0


@pytest.mark.parametrize(
    "webhook",
    [
        {"plugin_info": {"options": {"retention_days": 2.0}}},
        {"plugin_info": {"options": []}},
        {"plugin_info": None},
        {},
    ],
)
def test_report_is_kept_as_long_as_its_webhook_says(bench: CappedBench, webhook: dict[str, Any]) -> None:
    bench.database["webhook"].insert_one({"webhook_id": "webhook", **webhook})
    bench.run(bench.item(*((ALERT, key, 0) for key in "abc")))
    bench.reports(60).round()
    (report,) = bench.stored(SUPPRESSING_KEY)
    days = 2 if webhook.get("plugin_info") and webhook["plugin_info"]["options"] else None
    assert report.get("expire_at") == (NOON + timedelta(days=days, seconds=60) if days else None)


@pytest.mark.parametrize("seconds", [0, 30])
def test_duplicate_event_time_does_not_divide_the_suppressing_alert(bench: CappedBench, seconds: int) -> None:
    bench.rules = replace(CAPPED, duplicate_event_time=timedelta(seconds=seconds), auto_recovery=False)
    for number in range(6):
        bench.run(bench.item((ALERT, f"k{number}", number * 11)))
    assert bench.database["alert"].count_documents({"rule": "alerts_per_minute"}) == 1
    bench.reports(60).round()
    assert [title for title, _ in bench.reported()] == ["4 events beyond 2 new alerts within a minute"]
    assert ("RESOLVED", "RECOVERED") in bench.alert_states()


def test_replicas_that_share_the_suppressing_alert_all_get_on(bench: CappedBench) -> None:
    """Each create of a storm changes the one row of the suppressing condition."""
    bench.run(bench.item(*((ALERT, key, 0) for key in "abc")))
    results: list[list[Any]] = [[], []]

    def storm(number: int) -> None:
        commit = bench.committer()
        for place in range(100):
            results[number] += commit([bench.item((ALERT, f"{number}-{place}", place / 1000))])

    threads = [threading.Thread(target=storm, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sum(isinstance(result, CreateResult) for result in each) for each in results] == [100, 100]
    assert bench.database["alert"].count_documents({}) == 3
    suppressing = bench.stored("c")[0]["alert_id"]
    assert bench.database["event"].count_documents({"alert_id": suppressing}) == 1 + 200


def test_repeated_key_over_the_limit_stores_nothing_new(bench: CappedBench) -> None:
    first, again = (bench.run(bench.item(*((ALERT, key, 0) for key in "abcd"), key="k"))[0] for _ in range(2))
    assert again.duplicate  # type: ignore[union-attr]
    assert first.event_ids == again.event_ids  # type: ignore[union-attr]
    assert sum(len(bench.stored(key)) for key in "abcd") == 4
