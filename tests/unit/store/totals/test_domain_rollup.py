"""Results computed from a domain's buckets are cached and do not change."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from event_service.query.fields import EVENT_FIELDS
from event_service.query.stat_query import parse_stat_query
from event_service.store.totals.domain_rollup import DomainRollup
from event_service.store.totals.rollup_bucket import HOUR, LATE, Bucket, Dimensions
from event_service.store.totals.rollup_groups import RollupGroup, rollup_group
from event_service.store.totals.rollup_query import RollupQuery

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
ALL = RollupQuery("domain-1")
CRITICAL = RollupQuery("domain-1", ((2, frozenset({"CRITICAL"})),))


def dimensions(severity: str, webhook: str = "webhook-1") -> Dimensions:
    return ("workspace-1", "project-1", severity, "ALERT", webhook, None)


def rollup_of(*buckets: Bucket) -> DomainRollup:
    return DomainRollup(1, buckets, {}, 0.0)


def bucket(number: int, counts: dict[Dimensions, int], **attributes: datetime) -> Bucket:
    begin = NOON + number * HOUR
    return Bucket(begin, begin + HOUR, counts, **attributes)


def by(*fields: str) -> RollupGroup:
    keys = [{"k": field, "n": field} for field in fields]
    query = {"aggregate": [{"group": {"keys": keys, "fields": [{"n": "count", "o": "count"}]}}]}
    group = rollup_group(parse_stat_query(query, EVENT_FIELDS))
    assert group is not None
    return group


def test_returned_groups_are_copies() -> None:
    rollup = rollup_of(
        bucket(0, {dimensions("CRITICAL"): 2}), bucket(1, {dimensions("CRITICAL"): 1, dimensions("INFO"): 4})
    )
    first = rollup.groups(ALL, by("severity"), rollup.bucket_range(None, None))
    assert first == Counter({("INFO",): 4, ("CRITICAL",): 3})
    first[("INFO",)] += 100
    assert rollup.groups(ALL, by("severity"), rollup.bucket_range(None, None))[("INFO",)] == 4


def test_cache_distinguishes_query_time_and_group() -> None:
    rollup = rollup_of(
        bucket(0, {dimensions("CRITICAL"): 2}),
        bucket(1, {dimensions("CRITICAL"): 1, dimensions("INFO", "webhook-2"): 4}),
    )
    everything = rollup.bucket_range(None, None)
    assert rollup.groups(ALL, by("severity"), everything).total() == 7
    assert rollup.groups(CRITICAL, by("severity"), everything).total() == 3
    assert rollup.groups(ALL, by("webhook_id"), everything)[("webhook-2",)] == 4
    assert rollup.groups(ALL, by("severity"), rollup.bucket_range(NOON + HOUR, None)).total() == 5


def test_groups_and_sums_are_computed_once() -> None:
    counts = {dimensions("CRITICAL"): 2}
    rollup = rollup_of(bucket(0, counts))
    everything = rollup.bucket_range(None, None)
    assert rollup.groups(ALL, by("severity"), everything).total() == 2
    assert rollup.prefix_sums(ALL) == [0, 2]
    counts[dimensions("INFO")] = 5  # buckets do not change: this only shows that nothing is computed again
    assert rollup.groups(ALL, by("severity"), everything).total() == 2
    assert rollup.prefix_sums(ALL) == [0, 2]


def test_buckets_that_end_in_the_future_are_counted_live() -> None:
    rollup = rollup_of(*(bucket(number, {dimensions("INFO"): 1}) for number in range(4)))
    everything = rollup.bucket_range(None, None)
    assert rollup.invalid_positions(everything, NOON + 2 * HOUR + LATE) == (2, 3)
    assert rollup.invalid_positions(everything, NOON + 2 * HOUR) == (1, 2, 3)


def test_large_groups_are_not_cached() -> None:
    counts = {dimensions("CRITICAL", f"webhook-{number}"): 1 for number in range(6000)}
    rollup = rollup_of(bucket(0, counts))
    everything = rollup.bucket_range(None, None)
    assert len(rollup.groups(ALL, by("webhook_id"), everything)) == 6000
    counts[dimensions("CRITICAL", "webhook-new")] = 1
    assert len(rollup.groups(ALL, by("webhook_id"), everything)) == 6001


def test_invalidated_and_expired_buckets_are_counted_live() -> None:
    counts = {dimensions("INFO"): 1}
    rollup = rollup_of(
        bucket(0, counts),
        bucket(1, counts, invalidated_at=NOON),
        bucket(2, counts, expires_from=NOON + 17 * HOUR),
        bucket(3, counts, expires_from=NOON + 18 * HOUR),
        bucket(4, counts, expires_from=NOON + 16 * HOUR),
    )
    everything = rollup.bucket_range(None, None)
    now = NOON + 6 * HOUR
    assert rollup.invalid_positions(everything, now) == (1,)
    assert rollup.invalid_positions(everything, now + 11 * HOUR) == (1, 2, 4)
    assert rollup.invalid_positions(rollup.bucket_range(NOON + 2 * HOUR, None), now) == ()
    assert rollup.invalid_positions(rollup.bucket_range(NOON + timedelta(days=9), None), now) == ()
    assert rollup.groups(ALL, by("severity"), everything, (1, 2, 4)).total() == 2
    assert [*rollup.spans((1, 2, 4))] == [(NOON + HOUR, NOON + 3 * HOUR), (NOON + 4 * HOUR, NOON + 5 * HOUR)]
    counted: list[int] = []
    for at in (now, now, now + 11 * HOUR):
        for number in (0, 1, 2):
            rollup.partial_count(
                str(number).encode(), rollup.buckets[number], at, lambda number=number: counted.append(number) or 7
            )
    assert counted == [0, 1, 2, 1, 1, 2]
