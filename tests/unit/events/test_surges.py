"""How many alerts a webhook may open in a minute."""

from datetime import UTC, datetime, timedelta
from threading import Thread

from hypothesis import given
from hypothesis import strategies as st

from event_service.events.surges import SURGE_KEY, Surges, folded, report_of, surge_condition_id, surge_key_of
from event_service.model.condition import AlertReference, Condition
from event_service.model.event import EventType
from event_service.store.event_writer import ConditionKey

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def key(webhook_id: str = "webhook-1", event_key: str = "k") -> ConditionKey:
    return ConditionKey(webhook_id, "d", "w", "p", event_key)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_up_to_the_cap_alerts_are_opened() -> None:
    surges = Surges()
    assert [surges.admits(key(), at(second), 3) for second in range(5)] == [True, True, True, False, False]
    assert surges.admits(key("webhook-2"), at(5), 3), "each webhook has its own"
    assert surges.admits(key(), at(60), 3), "each minute is a new one"


def test_what_was_folded_is_told_once_when_the_minute_is_over() -> None:
    surges = Surges()
    for second in (10, 20, 30):
        surges.admits(key(), at(second), 1)
    assert surges.take_over(at(59.999)) == []
    (surge,) = surges.take_over(at(60))
    assert (surge.key, surge.begins, surge.ends) == (key(event_key=SURGE_KEY), NOON, at(60))
    assert (surge.opened, surge.folded, surge.limit) == (1, 2, 1)
    assert surges.take_over(at(600)) == []


def test_a_minute_without_surplus_is_not_told() -> None:
    surges = Surges()
    surges.admits(key(), at(0), 1)
    assert surges.take_over(at(60)) == []
    assert surges._now == {}, "and not remembered"


def test_the_next_minute_may_begin_before_anybody_has_asked() -> None:
    surges = Surges()
    for second in (0, 1, 60, 61, 120):
        surges.admits(key(), at(second), 1)
    assert [(surge.begins, surge.folded) for surge in surges.take_over(at(121))] == [(NOON, 1), (at(60), 1)]


def test_what_is_late_counts_where_the_others_are() -> None:
    surges = Surges()
    assert surges.admits(key(), at(60), 1)
    assert not surges.admits(key(), at(59), 1)


def test_at_the_end_everything_is_told() -> None:
    surges = Surges()
    for _ in range(2):
        surges.admits(key(), at(0), 1)
    assert [surge.folded for surge in surges.take_over()] == [1]


def test_the_report_says_how_many_and_ends_the_alert() -> None:
    surges = Surges()
    for _ in range(3):
        surges.admits(key(), at(0), 2)
    draft = report_of(*surges.take_over())
    assert (draft.event_type, draft.event_key, draft.occurred_at) == (EventType.RECOVERY, SURGE_KEY, at(60))
    assert draft.title == "1 event beyond 2 new alerts within a minute"
    assert draft.additional_info == {"alerts_opened": 2, "events_folded": 1, "limit": 2}
    assert draft.always_store
    for _ in range(5):
        surges.admits(key(), at(0), 2)
    assert report_of(*surges.take_over()).title.startswith("3 events beyond 2")


def test_a_folded_condition_has_seen_its_event_and_has_no_alert() -> None:
    before = Condition("c", "webhook-1", "k", newest_recovery_at=NOON)
    alert = AlertReference("o", "alert-1")
    after = before._replace(alert=alert, is_open=True, generation=1, newest_alert_at=at(5), troubled=True)
    assert folded(before, after) == before._replace(newest_alert_at=at(5), troubled=True)


def test_a_surge_has_a_condition_of_its_own() -> None:
    assert surge_key_of(key()) == key(event_key=SURGE_KEY)
    assert surge_condition_id(key("webhook-1", "a")) == surge_condition_id(key("webhook-1", "b"))
    assert surge_condition_id(key("webhook-1")) != surge_condition_id(key("webhook-2"))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 300)), max_size=200), st.integers(1, 5))
def test_nothing_is_opened_beyond_the_cap_and_everything_folded_is_told(
    arrivals: list[tuple[str, int]], limit: int
) -> None:
    surges = Surges()
    admitted: dict[tuple[str, int], int] = {}
    refused = told = 0
    for webhook_id, second in sorted(arrivals, key=lambda arrival: arrival[1]):
        if surges.admits(key(webhook_id), at(second), limit):
            admitted[webhook_id, second // 60] = admitted.get((webhook_id, second // 60), 0) + 1
        else:
            refused += 1
        told += sum(surge.folded for surge in surges.take_over(at(second)))
    assert max(admitted.values(), default=0) <= limit
    assert told + sum(surge.folded for surge in surges.take_over()) == refused


def test_two_threads_count_as_one() -> None:
    surges = Surges()
    admitted: list[bool] = []

    def count() -> None:
        admitted.extend(surges.admits(key(), at(0), 500) for _ in range(1000))

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 500
    assert surges.take_over()[0].folded == 3500
