"""The alert rate limit on a real store: no event is lost, and one alert stands for the suppressed ones."""

import threading
from typing import Any

import pytest

from event_service.events.alert_rate_limit import SUPPRESSING_KEY, AlertRateLimit, report_of
from event_service.events.alert_rules import AlertRules
from event_service.events.event_builder import EncodedEvent
from event_service.events.write_request import CreateResult, WriteRequest
from event_service.model.event import EventType
from event_service.store.client import Database
from event_service.store.transaction import Conflict
from event_service.wire.event_info import encode_event
from tests.contract.test_committer import ALERT, RECOVERY, RULES, Bench, Interrupted

pytestmark = pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)  # mongomock has no transactions

CAPPED = AlertRules(RULES.duplicate_event_time, alerts_per_minute=2)


class CappedBench(Bench):
    """The same with a limit of two alerts a minute."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.alert_rate_limit = AlertRateLimit()
        self.commit = self.committer(alert_rate_limit=self.alert_rate_limit)

    def item(self, *events: tuple[EventType, str, float], key: str = "", digest: str = "d") -> WriteRequest:
        item = super().item(*events, key=key, digest=digest)
        item.rules = CAPPED
        return item

    def alerts_of(self, *keys: str) -> list[Any]:
        """The alert of each key's newest event, numbered in the order they are met; None for no event."""
        numbers: dict[str, int] = {}
        rows = [(self.stored(key) or [{}])[-1].get("alert_id") for key in keys]
        return [None if row is None else numbers.setdefault(row, len(numbers)) for row in rows]

    def report(self, seconds: float) -> None:
        """Store the reports of ended minutes."""
        for minute in self.alert_rate_limit.take_ended():
            item = self.item((RECOVERY, SUPPRESSING_KEY, seconds))
            event = item.entries[0].built.event
            event.draft = report_of(minute)
            item.entries[0].built = EncodedEvent(event, encode_event(event))
            self.run(item)


@pytest.fixture
def bench(database: Database) -> CappedBench:
    database["event"].create_index("event_id", unique=True)
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
    bench.report(61)
    (report,) = bench.stored(SUPPRESSING_KEY)
    assert report["title"] == "2 events beyond 2 new alerts within a minute"
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
    bench.commit = bench.committer(alert_rate_limit=bench.alert_rate_limit, events=events)
    bench.run(bench.item(*((ALERT, key, 0) for key in "abc")))
    assert events.left == 0
    assert bench.alerts_of(*"abc") == [0, 1, 2]
    (minute,) = bench.alert_rate_limit.take_ended()
    assert (minute.opened, minute.suppressed) == (2, 1)


def test_replicas_that_share_the_suppressing_alert_all_get_on(bench: CappedBench) -> None:
    """Each create of a storm changes the one row of the suppressing condition."""
    bench.run(bench.item(*((ALERT, key, 0) for key in "abc")))
    results: list[list[Any]] = [[], []]

    def storm(number: int) -> None:
        commit = bench.committer(alert_rate_limit=AlertRateLimit())
        commit([bench.item(*((ALERT, f"first-{number}-{place}", 0) for place in range(2)))])
        for place in range(100):
            results[number] += commit([bench.item((ALERT, f"{number}-{place}", place / 1000))])

    threads = [threading.Thread(target=storm, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sum(isinstance(result, CreateResult) for result in each) for each in results] == [100, 100]
    assert bench.database["alert"].count_documents({}) == 3 + 4
    suppressing = bench.stored("c")[0]["alert_id"]
    assert bench.database["event"].count_documents({"alert_id": suppressing}) == 1 + 200


def test_repeated_key_over_the_limit_stores_nothing_new(bench: CappedBench) -> None:
    first, again = (bench.run(bench.item(*((ALERT, key, 0) for key in "abcd"), key="k"))[0] for _ in range(2))
    assert again.duplicate  # type: ignore[union-attr]
    assert first.event_ids == again.event_ids  # type: ignore[union-attr]
    assert sum(len(bench.stored(key)) for key in "abcd") == 4
