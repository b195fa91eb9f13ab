"""Totals that are kept running are those of a plain count."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service.errors import Unavailable
from event_service.store.totals.running_totals import ON_THEIR_WAY, RunningTotals

START = datetime(2026, 7, 1, 12, tzinfo=UTC)
MATCHING = {"domain_id": "d"}


class World:
    """Documents, time, and what counting them costs: `slowness` seconds for each that is looked at."""

    def __init__(self, slowness: float) -> None:
        self.seconds = 0.0
        self.slowness = slowness
        self.moments: list[datetime | None] = []
        self.looked_at: list[int] = []
        self.later: list[Callable[[], None]] = []
        self.away = False
        self.totals = RunningTotals(self.count, later=self.later.append, clock=lambda: self.seconds, now=self.now)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def count(self, matching: Mapping[str, Any]) -> int:
        if self.away:
            raise Unavailable
        tests = matching.get("created_at", {})
        in_range = [moment for moment in self.moments if inside(moment, tests)]
        looked_at = len(in_range) if "$gte" in tests else len(self.moments)
        self.looked_at.append(looked_at)
        self.seconds += looked_at * self.slowness
        return len(in_range)

    def store(self, number: int, age: float = 0.0) -> None:
        self.moments += [self.now() - timedelta(seconds=age)] * number

    def run_later(self) -> None:
        tasks, self.later[:] = list(self.later), []
        for task in tasks:
            task()


def inside(moment: datetime | None, tests: Mapping[str, Any]) -> bool:
    if "$not" in tests:
        return moment is None or not moment >= tests["$not"]["$gte"]
    if not tests:
        return True
    return moment is not None and moment >= tests["$gte"] and ("$lt" not in tests or moment < tests["$lt"])


def test_few_are_counted_each_time() -> None:
    world = World(slowness=0.0001)
    world.store(100, age=1000)
    assert world.totals.total(MATCHING) == 100
    world.moments.pop()
    assert world.totals.total(MATCHING) == 99


def test_many_are_counted_once() -> None:
    world = World(slowness=0.0001)
    world.store(10_000, age=1000)
    world.moments.append(None)
    for _ in range(3):
        assert world.totals.total(MATCHING) == 10_001
    world.store(5)
    assert world.totals.total(MATCHING) == 10_006
    assert world.looked_at == [10_001, 0, 0, 0, 5]


def test_what_is_still_on_its_way_is_not_lost() -> None:
    world = World(slowness=0.0001)
    world.store(10_000, age=1000)
    world.totals.total(MATCHING)
    world.totals.total(MATCHING)
    world.store(3, age=9)
    assert world.totals.total(MATCHING) == 10_003


def test_deletions_are_seen_when_all_is_counted_again() -> None:
    world = World(slowness=0.0001)
    world.store(10_000, age=1000)
    world.totals.total(MATCHING)
    world.totals.total(MATCHING)
    del world.moments[:4000]
    assert world.totals.total(MATCHING) == 10_000
    assert not world.later
    world.seconds += 60
    assert world.totals.total(MATCHING) == 10_000
    assert world.totals.total(MATCHING) == 10_000
    assert len(world.later) == 1
    world.run_later()
    assert world.totals.total(MATCHING) == 6000


def test_a_database_that_is_away_is_asked_again_later() -> None:
    world = World(slowness=0.0001)
    world.store(10_000, age=1000)
    world.totals.total(MATCHING)
    world.totals.total(MATCHING)
    world.seconds += 60
    world.totals.total(MATCHING)
    world.away = True
    world.run_later()
    with pytest.raises(Unavailable):
        world.totals.total(MATCHING)
    world.away = False
    assert world.totals.total(MATCHING) == 10_000
    world.seconds += 60
    world.totals.total(MATCHING)
    assert len(world.later) == 1


def test_the_mark_moves_on_where_much_is_new() -> None:
    world = World(slowness=0.00001)
    world.store(10_000, age=1000)
    world.totals.total(MATCHING)
    world.totals.total(MATCHING)
    world.store(3000)
    world.seconds += ON_THEIR_WAY.total_seconds() + 1
    assert world.totals.total(MATCHING) == 13_000
    world.looked_at.clear()
    assert world.totals.total(MATCHING) == 13_000
    assert world.looked_at[0] == 0


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.floats(0, 9.9), st.floats(0, 30), st.booleans()), max_size=25),
    st.sampled_from([0.0, 0.00001, 0.0001]),
)
def test_totals_are_those_of_a_plain_count(steps: list[tuple[int, float, float, bool]], slowness: float) -> None:
    world = World(slowness)
    world.store(2000, age=5000)
    for number, age, pause, again in steps:
        world.store(number, age=age)
        assert world.totals.total(MATCHING) == len(world.moments)
        world.seconds += pause
        if again:
            world.run_later()
