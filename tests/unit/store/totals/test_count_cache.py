"""Counts are remembered for a second, and not longer than until the next write where counting is cheap."""

from typing import Any

import pytest

from event_service.store.totals.event_totals import CountCache


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Counter:
    """Counts how often it is asked; each time takes `takes` seconds."""

    def __init__(self, clock: Clock, takes: float = 0.0) -> None:
        self.clock, self.takes, self.asked = clock, takes, 0

    def __call__(self) -> int:
        self.asked += 1
        self.clock.seconds += self.takes
        return self.asked


@pytest.fixture
def clock() -> Clock:
    return Clock()


FILTER: list[dict[str, Any]] = [{"$match": {"domain_id": "d"}}]


def test_remembers_for_a_second(clock: Clock) -> None:
    cache, counter = CountCache(clock=clock), Counter(clock)
    assert [cache.get(FILTER, counter) for _ in range(3)] == [1, 1, 1]
    clock.seconds += 0.99
    assert cache.get(FILTER, counter) == 1
    clock.seconds += 0.02
    assert cache.get(FILTER, counter) == 2


def test_the_age_is_that_of_the_question(clock: Clock) -> None:
    cache, counter = CountCache(clock=clock), Counter(clock, takes=0.6)
    cache.get(FILTER, counter)
    clock.seconds += 0.5
    assert cache.get(FILTER, counter) == 2


def test_other_filters_are_counted_on_their_own(clock: Clock) -> None:
    cache, counter = CountCache(clock=clock), Counter(clock)
    assert cache.get(FILTER, counter) == 1
    assert cache.get([{"$match": {"domain_id": "e"}}], counter) == 2
    assert cache.get([*FILTER, {"$unwind": "$resources"}], counter) == 3


def test_a_write_makes_cheap_counts_stale(clock: Clock) -> None:
    cache, counter = CountCache(clock=clock), Counter(clock)
    cache.get(FILTER, counter)
    clock.seconds += 0.1
    cache.changed()
    clock.seconds += 0.1
    assert cache.get(FILTER, counter) == 2
    assert cache.get(FILTER, counter) == 2


def test_a_write_leaves_costly_counts_for_their_second(clock: Clock) -> None:
    cache, counter = CountCache(clock=clock), Counter(clock, takes=0.2)
    cache.get(FILTER, counter)
    cache.changed()
    assert cache.get(FILTER, counter) == 1


def test_forgets_the_oldest_of_very_many(clock: Clock) -> None:
    cache, counter = CountCache(clock=clock), Counter(clock)
    for number in range(1100):
        cache.get([{"$match": {"n": number}}], counter)
    assert cache.get([{"$match": {"n": 1099}}], counter) == 1100
    assert cache.get([{"$match": {"n": 0}}], counter) == 1101
