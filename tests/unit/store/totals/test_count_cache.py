"""Counts are cached for a second; cheap ones only until the next write."""

from typing import Any

import pytest

from event_service.store.totals.event_totals import CountCache


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Counter:
    """Counts its calls; each takes `takes` seconds."""

    def __init__(self, clock: Clock, takes: float = 0.0) -> None:
        self.clock, self.takes, self.calls = clock, takes, 0

    def __call__(self) -> int:
        self.calls += 1
        self.clock.seconds += self.takes
        return self.calls


@pytest.fixture
def clock() -> Clock:
    return Clock()


FILTER: list[dict[str, Any]] = [{"$match": {"domain_id": "d"}}]


def test_count_cached_for_a_second(clock: Clock) -> None:
    cache, counter = CountCache(clock=clock), Counter(clock)
    assert [cache.get(FILTER, counter) for _ in range(3)] == [1, 1, 1]
    clock.seconds += 0.99
    assert cache.get(FILTER, counter) == 1
    clock.seconds += 0.02
    assert cache.get(FILTER, counter) == 2


def test_age_starts_when_counting_starts(clock: Clock) -> None:
    cache, counter = CountCache(clock=clock), Counter(clock, takes=0.6)
    cache.get(FILTER, counter)
    clock.seconds += 0.5
    assert cache.get(FILTER, counter) == 2


def test_other_pipelines_counted_separately(clock: Clock) -> None:
    cache, counter = CountCache(clock=clock), Counter(clock)
    assert cache.get(FILTER, counter) == 1
    assert cache.get([{"$match": {"domain_id": "e"}}], counter) == 2
    assert cache.get([*FILTER, {"$unwind": "$resources"}], counter) == 3


def test_write_invalidates_cheap_counts(clock: Clock) -> None:
    cache, counter = CountCache(clock=clock), Counter(clock)
    cache.get(FILTER, counter)
    clock.seconds += 0.1
    cache.changed()
    clock.seconds += 0.1
    assert cache.get(FILTER, counter) == 2
    assert cache.get(FILTER, counter) == 2


def test_write_keeps_slow_counts_cached(clock: Clock) -> None:
    cache, counter = CountCache(clock=clock), Counter(clock, takes=0.2)
    cache.get(FILTER, counter)
    cache.changed()
    assert cache.get(FILTER, counter) == 1


def test_oldest_count_evicted_when_full(clock: Clock) -> None:
    cache, counter = CountCache(clock=clock), Counter(clock)
    for number in range(1100):
        cache.get([{"$match": {"n": number}}], counter)
    assert cache.get([{"$match": {"n": 1099}}], counter) == 1100
    assert cache.get([{"$match": {"n": 0}}], counter) == 1101
