"""The alert rate limit on a real store: no event is lost, and one alert stands for the suppressed ones."""

from typing import Any

import pytest

from event_service.events.alert_rate_limit import SUPPRESSING_KEY, AlertRateLimit, report_of
from event_service.events.alert_rules import AlertRules
from event_service.events.event_builder import EncodedEvent
from event_service.events.write_request import WriteRequest
from event_service.model.event import EventType
from event_service.store.client import Database
from event_service.wire.event_info import encode_event
from tests.contract.test_committer import ALERT, NOON, RECOVERY, RULES, Bench

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
    class Losing:
        """Loses every row to another replica, once."""

        def __init__(self) -> None:
            self.lost = False

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.conditions, name)

        def save(self, rows: Any) -> list[bool]:
            if not self.lost:
                self.lost = True
                return [False] * len(rows)
            return bench.conditions.save(rows)

    bench.commit = bench.committer(alert_rate_limit=bench.alert_rate_limit, conditions=Losing())
    bench.run(bench.item(*((ALERT, key, 0) for key in "abc")))
    assert bench.alerts_of(*"abc") == [0, 1, 2]
    (minute,) = bench.alert_rate_limit.take_ended()
    assert (minute.opened, minute.suppressed) == (2, 1)


def test_lost_suppressing_condition_delays_the_event(bench: CappedBench) -> None:
    class LosingTheSuppressing:
        def __init__(self) -> None:
            self.times = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.conditions, name)

        def save(self, rows: Any) -> list[bool]:
            self.times += 1
            kept = [row for row in rows if self.times > 1 or row.event_key != SUPPRESSING_KEY]
            outcomes = dict(zip([row.condition_id for row in kept], bench.conditions.save(kept), strict=True))
            return [outcomes.get(row.condition_id, False) for row in rows]

    losing = LosingTheSuppressing()
    bench.commit = bench.committer(alert_rate_limit=bench.alert_rate_limit, conditions=losing)
    bench.run(bench.item(*((ALERT, key, 0) for key in "abc")))
    assert losing.times == 2
    assert bench.alerts_of(*"abc") == [0, 1, 2]
    assert bench.stored("c")[0]["created_at"] == NOON


def test_repeated_key_over_the_limit_stores_nothing_new(bench: CappedBench) -> None:
    first, again = (bench.run(bench.item(*((ALERT, key, 0) for key in "abcd"), key="k"))[0] for _ in range(2))
    assert again.duplicate  # type: ignore[union-attr]
    assert first.event_ids == again.event_ids  # type: ignore[union-attr]
    assert sum(len(bench.stored(key)) for key in "abcd") == 4
