"""Periods of buckets, and the counts that they keep."""

from datetime import UTC, datetime, timedelta

import pytest

from event_service.store.totals.buckets import DIMENSIONS, GROUPINGS, LATE, MAX_COUNTS, Bucket, Level, Tally

NOON = datetime(2026, 2, 28, 12, tzinfo=UTC)
VALUES = ("workspace-1", "project-1", "INFO", "ALERT", "webhook-1", None)


def test_periods_begin_and_end_in_utc() -> None:
    moment = datetime.fromisoformat("2026-03-01T00:30:00+01:00")
    begins = [level.begin(moment) for level in Level]
    assert begins == [NOON.replace(hour=23), NOON.replace(hour=0), NOON.replace(day=1, hour=0)]
    assert [level.end(begin) for level, begin in zip(Level, begins, strict=True)] == [
        datetime(2026, 3, 1, tzinfo=UTC)
    ] * 3


def test_periods_of_a_range_newest_first() -> None:
    first = datetime(2026, 1, 31, tzinfo=UTC)
    assert [*Level.MONTH.newest_first(first, NOON)] == [
        datetime(2026, 2, 1, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
    ]
    assert [*Level.DAY.newest_first(NOON, NOON + timedelta(hours=12))] == [NOON.replace(hour=0)]
    assert not [*Level.HOUR.newest_first(NOON, NOON)]


@pytest.mark.parametrize("level", Level)
def test_large_groupings_are_dropped_alone(level: Level) -> None:
    tally = Tally(level)
    for number in range(MAX_COUNTS[level] + 1):
        tally.add((*VALUES[:4], f"webhook-{number}", None), 2, None)
    assert tally.counts[GROUPINGS[0]] == {("INFO", "ALERT"): 2 * (MAX_COUNTS[level] + 1)}
    assert not [grouping for grouping in tally.counts if "webhook_id" in grouping]


def test_counts_that_one_bucket_lacks_are_dropped_from_the_sum() -> None:
    first, second = Tally(Level.DAY), Tally(Level.MONTH)
    first.add(VALUES, 3, None)
    second.add_counts({GROUPINGS[0]: first.counts[GROUPINGS[0]]}, NOON)
    assert (second.counts, second.expires_from) == ({GROUPINGS[0]: {("INFO", "ALERT"): 3}}, NOON)


def test_documents_stay_below_their_limit() -> None:
    tally = Tally(Level.MONTH)
    for number in range(1000):
        tally.add((*VALUES[:5], f"{number}" + "x" * 20_000), 1, None)
    kept = tally.fitting()
    assert GROUPINGS[0] in kept
    assert DIMENSIONS not in kept


def test_every_dimension_can_be_asked_for_in_every_scope() -> None:
    for scope in ((), ("workspace_id",), ("workspace_id", "project_id")):
        for name in DIMENSIONS:
            assert any({*scope, name} <= set(grouping) for grouping in GROUPINGS[:-1])


def test_buckets_that_end_in_the_future_are_not_valid() -> None:
    bucket = Bucket(Level.HOUR, NOON, NOON + timedelta(hours=1))
    assert bucket.is_valid(bucket.end + LATE)
    assert not bucket.is_valid(bucket.end)
