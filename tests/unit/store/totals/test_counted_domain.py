"""What a domain's hours are asked is worked out once, and stays what it was."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from event_service.query.fields import EVENT_FIELDS
from event_service.query.stat_query import parse_stat_query
from event_service.store.totals.counted_domain import RollupDomain
from event_service.store.totals.rollup_bucket import HOUR, Bucket, Dimensions
from event_service.store.totals.rollup_groups import RollupGroup, rollup_group
from event_service.store.totals.rollup_query import RollupQuery

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
QUESTION = RollupQuery("domain-1")
SEVERE = RollupQuery("domain-1", ((2, frozenset({"CRITICAL"})),))


def kind(severity: str, webhook: str = "webhook-1") -> Dimensions:
    return ("workspace-1", "project-1", severity, "ALERT", webhook, None)


def domain(*hours: Bucket) -> RollupDomain:
    return RollupDomain(1, hours, {}, 0.0)


def hour(number: int, kinds: dict[Dimensions, int], **attributes: datetime) -> Bucket:
    begin = NOON + number * HOUR
    return Bucket(begin, begin + HOUR, kinds, **attributes)


def by(*fields: str) -> RollupGroup:
    keys = [{"k": field, "n": field} for field in fields]
    query = {"aggregate": [{"group": {"keys": keys, "fields": [{"n": "count", "o": "count"}]}}]}
    group = rollup_group(parse_stat_query(query, EVENT_FIELDS))
    assert group is not None
    return group


def test_groups_are_the_callers_own() -> None:
    counted = domain(hour(0, {kind("CRITICAL"): 2}), hour(1, {kind("CRITICAL"): 1, kind("INFO"): 4}))
    first = counted.groups(QUESTION, by("severity"), counted.whole(None, None))
    assert first == Counter({("INFO",): 4, ("CRITICAL",): 3})
    first[("INFO",)] += 100
    assert counted.groups(QUESTION, by("severity"), counted.whole(None, None))[("INFO",)] == 4


def test_another_question_time_or_group_is_another_answer() -> None:
    counted = domain(hour(0, {kind("CRITICAL"): 2}), hour(1, {kind("CRITICAL"): 1, kind("INFO", "webhook-2"): 4}))
    everything = counted.whole(None, None)
    assert counted.groups(QUESTION, by("severity"), everything).total() == 7
    assert counted.groups(SEVERE, by("severity"), everything).total() == 3
    assert counted.groups(QUESTION, by("webhook_id"), everything)[("webhook-2",)] == 4
    assert counted.groups(QUESTION, by("severity"), counted.whole(NOON + HOUR, None)).total() == 5


def test_hours_are_worked_out_once() -> None:
    kinds = {kind("CRITICAL"): 2}
    counted = domain(hour(0, kinds))
    everything = counted.whole(None, None)
    assert counted.groups(QUESTION, by("severity"), everything).total() == 2
    assert counted.sums(QUESTION) == [0, 2]
    kinds[kind("INFO")] = 5  # which no hour does
    assert counted.groups(QUESTION, by("severity"), everything).total() == 2
    assert counted.sums(QUESTION) == [0, 2]


def test_very_many_groups_are_not_kept() -> None:
    kinds = {kind("CRITICAL", f"webhook-{number}"): 1 for number in range(6000)}
    counted = domain(hour(0, kinds))
    everything = counted.whole(None, None)
    assert len(counted.groups(QUESTION, by("webhook_id"), everything)) == 6000
    kinds[kind("CRITICAL", "webhook-new")] = 1
    assert len(counted.groups(QUESTION, by("webhook_id"), everything)) == 6001


def test_hours_whose_events_come_or_go_are_counted_live() -> None:
    kinds = {kind("INFO"): 1}
    counted = domain(
        hour(0, kinds),
        hour(1, kinds, invalidated_at=NOON),
        hour(2, kinds, expires_from=NOON + 7 * HOUR),
        hour(3, kinds, expires_from=NOON + 8 * HOUR),
        hour(4, kinds, expires_from=NOON + 6 * HOUR),
    )
    everything = counted.whole(None, None)
    assert counted.unsettled(everything, NOON) == (1,)
    assert counted.unsettled(everything, NOON + 7 * HOUR) == (1, 2, 4)
    assert counted.unsettled(counted.whole(NOON + 2 * HOUR, None), NOON) == ()
    assert counted.unsettled(counted.whole(NOON + timedelta(days=9), None), NOON) == ()
    assert counted.groups(QUESTION, by("severity"), everything, (1, 2, 4)).total() == 2
    assert [*counted.spans((1, 2, 4))] == [(NOON + HOUR, NOON + 3 * HOUR), (NOON + 4 * HOUR, NOON + 5 * HOUR)]
    asked: list[int] = []
    for now in (NOON, NOON, NOON + 7 * HOUR):
        for number in (0, 1, 2):
            counted.part(
                str(number).encode(), counted.hours[number], now, lambda number=number: asked.append(number) or 7
            )
    assert asked == [0, 1, 2, 1, 1, 2]
