"""How many alerts a webhook may open in a minute."""

from datetime import UTC, datetime, timedelta
from threading import Thread

from hypothesis import given
from hypothesis import strategies as st

from event_service.events.alert_rate_limit import (
    SUPPRESSING_KEY,
    AlertRateLimit,
    report_of,
    suppressed,
    suppressing_condition_id,
    suppressing_key,
)
from event_service.model.condition import AlertReference, Condition, ConditionKey
from event_service.model.event import EventType

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def key(webhook_id: str = "webhook-1", event_key: str = "k") -> ConditionKey:
    return ConditionKey(webhook_id, "d", "w", "p", event_key)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_up_to_the_cap_alerts_are_opened() -> None:
    alert_rate_limit = AlertRateLimit()
    assert [alert_rate_limit.admits(key(), at(second), 3) for second in range(5)] == [True, True, True, False, False]
    assert alert_rate_limit.admits(key("webhook-2"), at(5), 3), "each webhook has its own"
    assert alert_rate_limit.admits(key(), at(60), 3), "each minute is a new one"


def test_what_was_folded_is_told_once_when_the_minute_is_over() -> None:
    alert_rate_limit = AlertRateLimit()
    for second in (10, 20, 30):
        alert_rate_limit.admits(key(), at(second), 1)
    assert alert_rate_limit.take_ended(at(59.999)) == []
    (surge,) = alert_rate_limit.take_ended(at(60))
    assert (surge.key, surge.begins, surge.ends) == (key(event_key=SUPPRESSING_KEY), NOON, at(60))
    assert (surge.opened, surge.suppressed, surge.limit) == (1, 2, 1)
    assert alert_rate_limit.take_ended(at(600)) == []


def test_a_minute_without_surplus_is_not_told() -> None:
    alert_rate_limit = AlertRateLimit()
    alert_rate_limit.admits(key(), at(0), 1)
    assert alert_rate_limit.take_ended(at(60)) == []
    assert alert_rate_limit._now == {}, "and not remembered"


def test_the_next_minute_may_begin_before_anybody_has_asked() -> None:
    alert_rate_limit = AlertRateLimit()
    for second in (0, 1, 60, 61, 120):
        alert_rate_limit.admits(key(), at(second), 1)
    assert [(surge.begins, surge.suppressed) for surge in alert_rate_limit.take_ended(at(121))] == [
        (NOON, 1),
        (at(60), 1),
    ]


def test_what_is_late_counts_where_the_others_are() -> None:
    alert_rate_limit = AlertRateLimit()
    assert alert_rate_limit.admits(key(), at(60), 1)
    assert not alert_rate_limit.admits(key(), at(59), 1)


def test_at_the_end_everything_is_told() -> None:
    alert_rate_limit = AlertRateLimit()
    for _ in range(2):
        alert_rate_limit.admits(key(), at(0), 1)
    assert [surge.suppressed for surge in alert_rate_limit.take_ended()] == [1]


def test_the_report_says_how_many_and_ends_the_alert() -> None:
    alert_rate_limit = AlertRateLimit()
    for _ in range(3):
        alert_rate_limit.admits(key(), at(0), 2)
    draft = report_of(*alert_rate_limit.take_ended())
    assert (draft.event_type, draft.event_key, draft.occurred_at) == (EventType.RECOVERY, SUPPRESSING_KEY, at(60))
    assert draft.title == "1 event beyond 2 new alerts within a minute"
    assert draft.additional_info == {"alerts_opened": 2, "events_folded": 1, "limit": 2}
    assert draft.always_store
    for _ in range(5):
        alert_rate_limit.admits(key(), at(0), 2)
    assert report_of(*alert_rate_limit.take_ended()).title.startswith("3 events beyond 2")


def test_a_folded_condition_has_seen_its_event_and_has_no_alert() -> None:
    before = Condition("c", "webhook-1", "k", newest_recovery_at=NOON)
    alert = AlertReference("o", "alert-1")
    after = before._replace(alert=alert, is_open=True, generation=1, newest_alert_at=at(5), was_firing=True)
    assert suppressed(before, after) == before._replace(newest_alert_at=at(5), was_firing=True)


def test_a_surge_has_a_condition_of_its_own() -> None:
    assert suppressing_key(key()) == key(event_key=SUPPRESSING_KEY)
    assert suppressing_condition_id(key("webhook-1", "a")) == suppressing_condition_id(key("webhook-1", "b"))
    assert suppressing_condition_id(key("webhook-1")) != suppressing_condition_id(key("webhook-2"))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 300)), max_size=200), st.integers(1, 5))
def test_nothing_is_opened_beyond_the_cap_and_everything_folded_is_told(
    arrivals: list[tuple[str, int]], limit: int
) -> None:
    alert_rate_limit = AlertRateLimit()
    admitted: dict[tuple[str, int], int] = {}
    refused = told = 0
    for webhook_id, second in sorted(arrivals, key=lambda arrival: arrival[1]):
        if alert_rate_limit.admits(key(webhook_id), at(second), limit):
            admitted[webhook_id, second // 60] = admitted.get((webhook_id, second // 60), 0) + 1
        else:
            refused += 1
        told += sum(surge.suppressed for surge in alert_rate_limit.take_ended(at(second)))
    assert max(admitted.values(), default=0) <= limit
    assert told + sum(surge.suppressed for surge in alert_rate_limit.take_ended()) == refused


def test_two_threads_count_as_one() -> None:
    alert_rate_limit = AlertRateLimit()
    admitted: list[bool] = []

    def count() -> None:
        admitted.extend(alert_rate_limit.admits(key(), at(0), 500) for _ in range(1000))

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 500
    assert alert_rate_limit.take_ended()[0].suppressed == 3500
