"""The limit of alerts that a webhook may open in a minute."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service.events.alert_rate_limit import (
    SUPPRESSING_KEY,
    AlertRateLimit,
    minute_of,
    report_of,
    suppress,
    suppressed,
    suppressing_alert,
    suppressing_condition_id,
    suppressing_key,
)
from event_service.model.condition import AlertReference, AlertState, Condition, ConditionKey, RateReport
from event_service.model.event import EventType

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def key(webhook_id: str = "webhook-1", event_key: str = "k") -> ConditionKey:
    return ConditionKey(webhook_id, "d", "w", "p", event_key)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def stored(number: int = 0) -> Callable[[datetime], int]:
    """Return a database with that many alerts in every minute."""
    return lambda _: number


def test_alerts_within_the_limit_are_opened() -> None:
    limit = AlertRateLimit()
    admitted = [limit.admits("webhook-1", at(second), 3, stored()) for second in range(5)]
    assert admitted == [True, True, True, False, False]
    assert limit.admits("webhook-2", at(5), 3, stored()), "each webhook has its own"
    assert limit.admits("webhook-1", at(60), 3, stored()), "each minute is a new one"


def test_late_events_count_in_the_current_minute() -> None:
    limit = AlertRateLimit()
    assert limit.admits("webhook-1", at(60), 1, stored())
    assert not limit.admits("webhook-1", at(59), 1, stored())


def test_clock_that_is_set_back_begins_a_new_minute() -> None:
    limit = AlertRateLimit()
    assert limit.admits("webhook-1", at(7200), 1, stored())
    assert limit.admits("webhook-1", at(0), 1, stored())
    assert not limit.admits("webhook-1", at(1), 1, stored())


def test_attempts_that_fail_count_nothing() -> None:
    limit = AlertRateLimit()
    for _ in range(3):
        assert [limit.copy().admits("webhook-1", at(0), 1, stored()) for _ in range(2)] == [True, True]
    kept = limit.copy()
    assert kept.admits("webhook-1", at(0), 1, stored())
    assert not kept.copy().admits("webhook-1", at(0), 1, stored())


def test_alerts_of_other_replicas_count() -> None:
    limit = AlertRateLimit()
    assert [limit.admits("webhook-1", at(0), 8, stored(5)) for _ in range(6)] == [True] * 3 + [False] * 3


def test_alert_that_supersedes_is_opened_and_counts() -> None:
    limit = AlertRateLimit()
    assert [limit.admits("webhook-1", at(0), 1, stored(), always=True) for _ in range(2)] == [True, True]
    assert not limit.admits("webhook-1", at(0), 1, stored())


@pytest.mark.parametrize(("most", "free"), [(1, 0), (3, 0), (4, 1), (7, 1), (8, 2), (100, 25)])
def test_database_is_asked_beyond_a_quarter_once_per_attempt(most: int, free: int) -> None:
    asked = []

    def count(minute: datetime) -> int:
        asked.append(minute)
        return 0

    limit = AlertRateLimit()
    for number in range(most + 9):
        limit.admits("webhook-1", at(1), most, count)
        assert len(asked) == (number >= free)
    assert set(asked) == {NOON}
    limit.copy().admits("webhook-1", at(1), most, count)
    assert len(asked) == 1, "over the limit there is nothing to ask"


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab"), st.integers(0, 180)), max_size=300), st.integers(1, 9)
)
def test_four_replicas_that_write_in_turn_keep_the_limit_together(
    arrivals: list[tuple[int, str, int]], most: int
) -> None:
    replicas = [AlertRateLimit() for _ in range(4)]
    opened: dict[tuple[str, datetime], int] = {}
    refused = set()
    for replica, webhook_id, second in sorted(arrivals, key=lambda arrival: arrival[2]):
        replicas[replica] = limit = replicas[replica].copy()
        minute = (webhook_id, minute_of(at(second)))

        def count(begins: datetime, webhook_id: str = webhook_id) -> int:
            return opened.get((webhook_id, begins), 0)

        if limit.admits(webhook_id, at(second), most, count):
            opened[minute] = opened.get(minute, 0) + 1
        else:
            refused.add(minute)
    assert all(number <= most for number in opened.values())
    assert all(opened[minute] == most for minute in refused), "none is refused below the limit"


def test_suppressed_condition_has_seen_its_event_and_has_no_alert() -> None:
    before = Condition("c", "webhook-1", "k", newest_recovery_at=NOON)
    alert = AlertReference("o", "alert-1")
    after = before._replace(alert=alert, is_open=True, generation=1, newest_alert_at=at(5), was_firing=True)
    assert suppressed(before, after) == before._replace(newest_alert_at=at(5), was_firing=True)


def test_suppressing_alert_has_its_own_condition() -> None:
    assert suppressing_key(key()) == key(event_key=SUPPRESSING_KEY)
    assert suppressing_condition_id(key("webhook-1", "a")) == suppressing_condition_id(key("webhook-1", "b"))
    assert suppressing_condition_id(key("webhook-1")) != suppressing_condition_id(key("webhook-2"))


def test_each_minute_has_one_suppressing_alert() -> None:
    row = Condition("c", "webhook-1", SUPPRESSING_KEY)
    opened = []
    for second in (10, 59, 60, 59, 61):
        row, decision = suppress(row, suppressing_alert(3), at(second))
        opened.append(decision.opens)
    assert opened == [AlertState.TRIGGERED, None, AlertState.TRIGGERED, None, None]


def test_event_after_the_report_of_its_minute_opens_another_alert() -> None:
    row, _ = suppress(Condition("c", "webhook-1", SUPPRESSING_KEY), suppressing_alert(3), at(10))
    reported = row._replace(is_open=False, newest_recovery_at=at(60))
    row, late = suppress(reported, suppressing_alert(3), at(59))
    assert late.opens is AlertState.TRIGGERED
    _, later = suppress(row, suppressing_alert(3), at(59))
    assert (later.opens, later.alert) == (None, late.alert)


def test_report_counts_suppressed_events_and_is_a_recovery() -> None:
    draft = report_of(RateReport(at(60), 2), 2, 1)
    assert (draft.event_type, draft.event_key, draft.occurred_at) == (EventType.RECOVERY, SUPPRESSING_KEY, at(60))
    assert draft.title == "1 event beyond 2 new alerts within a minute"
    assert draft.additional_info == {"alerts_opened": 2, "events_folded": 1, "limit": 2}
    assert report_of(RateReport(at(60), 2), 2, 3).title.startswith("3 events beyond 2")
