"""Pages by windows are the pages of the plain query, whatever is stored and wherever they start."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service.query.fields import EVENT_FIELDS
from event_service.query.list_query import ListQuery, parse_list_query
from event_service.store.time_windows import TimeWindows, between, bounds, serves

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
FIRST = datetime(1, 1, 1, tzinfo=UTC)


def asked(**query: Any) -> ListQuery:
    return parse_list_query(query, {}, EVENT_FIELDS, NOW)


class Documents:
    """A collection that answers as the plain query would, and notes how many rows each find would sort."""

    def __init__(self, moments: list[datetime | None]) -> None:
        rows = [{"_id": number, "created_at": moment} for number, moment in enumerate(moments)]
        self.rows = sorted(rows, key=lambda row: (row["created_at"] or FIRST, row["_id"]), reverse=True)
        self.sorted: list[int] = []

    def find(self, window: Mapping[str, Any], skip: int, limit: int) -> list[Mapping[str, Any]]:
        self.sorted.append(self.count(window))
        return [row for row in self.rows if inside(row["created_at"], window)][skip : skip + limit]

    def count(self, window: Mapping[str, Any]) -> int:
        return sum(inside(row["created_at"], window) for row in self.rows)


def inside(moment: Any, window: Mapping[str, Any]) -> bool:
    tests = window.get("created_at", {})
    if "$not" in tests:
        return moment is None or not moment >= tests["$not"]["$gte"]
    if tests and moment is None:
        return False
    return ("$gte" not in tests or moment >= tests["$gte"]) and ("$lt" not in tests or moment < tests["$lt"])


def page(windows: TimeWindows, documents: Documents, skip: int, limit: int, **query: Any) -> list[Any]:
    found = windows.page(
        between(asked(**query).where), ["this", "all"], skip, limit, find=documents.find, count=documents.count
    )
    return [row["_id"] for row in found]


MOMENTS = st.one_of(
    st.none(),
    st.integers(-3600_000, 86_400_000 * 3).map(lambda ms: NOW - timedelta(milliseconds=ms)),
    st.integers(0, 20).map(lambda ms: NOW - timedelta(milliseconds=ms)),
    st.sampled_from([NOW, NOW - timedelta(hours=1), NOW - timedelta(hours=32), NOW + timedelta(days=9), FIRST]),
    st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds are naive
)


@given(
    st.lists(MOMENTS, max_size=40), st.lists(st.tuples(st.integers(0, 45), st.integers(1, 45)), min_size=1, max_size=4)
)
def test_pages_are_those_of_the_plain_query(moments: list[datetime | None], pages: list[tuple[int, int]]) -> None:
    documents = Documents(moments)
    plain = [row["_id"] for row in documents.rows]
    windows = TimeWindows(lambda: NOW)
    for skip, limit in pages:
        assert page(windows, documents, skip, limit) == plain[skip : skip + limit]


@given(
    st.lists(MOMENTS, max_size=30),
    st.sampled_from(["datetime_gte", "datetime_gt", "datetime_lt", "datetime_lte"]),
    st.integers(-3600_000, 86_400_000),
    st.integers(0, 10),
)
def test_bounds_of_the_query_change_nothing(moments: list[datetime | None], operator: str, ms: int, skip: int) -> None:
    moment = NOW - timedelta(milliseconds=ms)
    at_least, at_most = operator.startswith("datetime_g"), operator.startswith("datetime_l")
    kept = [
        each
        for each in moments
        if each is not None
        and ((at_least and each > moment) or (at_most and each < moment) or (operator.endswith("e") and each == moment))
    ]
    documents = Documents(list(kept))
    filters = [{"k": "created_at", "o": operator, "v": moment.isoformat()}]
    expected = [row["_id"] for row in documents.rows][skip : skip + 5]
    assert page(TimeWindows(lambda: NOW), documents, skip, 5, filter=filters) == expected


def test_the_next_page_starts_with_a_window_that_fits() -> None:
    documents = Documents([NOW - timedelta(days=100, seconds=number) for number in range(50)])
    windows = TimeWindows(lambda: NOW)
    page(windows, documents, 0, 10)
    documents.sorted.clear()
    page(windows, documents, 0, 10)
    assert len(documents.sorted) == 1


def test_a_narrow_window_is_enough_where_much_is_new() -> None:
    documents = Documents([NOW - timedelta(seconds=number) for number in range(5000)])
    windows = TimeWindows(lambda: NOW)
    for _ in range(2):
        page(windows, documents, 0, 10)
    assert documents.sorted[-1] < 100


def test_a_burst_is_read_once_and_what_comes_after_it_is_not_waited_for() -> None:
    """The newest ten after 5,000 events of one second, again and again while time passes and single ones come."""
    burst = [NOW - timedelta(milliseconds=number / 5) for number in range(5000)]
    later = NOW
    windows = TimeWindows(lambda: later)
    for minutes in range(60):
        later = NOW + timedelta(minutes=minutes)
        documents = Documents([*burst, *(NOW + timedelta(minutes=each + 0.5) for each in range(minutes))])
        assert page(windows, documents, 0, 10) == [row["_id"] for row in documents.rows[:10]]
        if minutes > 1:
            assert sum(documents.sorted) < 50
            assert len(documents.sorted) < 4


def test_what_is_not_enough_for_a_page_is_asked_for_at_once_the_next_time() -> None:
    documents = Documents([NOW - timedelta(days=400), None])
    windows = TimeWindows(lambda: NOW)
    assert page(windows, documents, 0, 10) == [0, 1]
    documents.sorted.clear()
    assert page(windows, documents, 0, 10) == [0, 1]
    assert len(documents.sorted) == 1


def test_a_time_with_little_in_it_says_nothing_of_all_times() -> None:
    documents = Documents([NOW - timedelta(minutes=number) for number in range(5000)])
    windows = TimeWindows(lambda: NOW)

    def newest(**query: Any) -> int:
        return len(page(windows, documents, 0, 10, **query))

    assert newest() == 10
    assert newest(filter=[{"k": "created_at", "o": "gt", "v": (NOW - timedelta(minutes=3)).isoformat()}]) == 3
    assert newest(filter=[{"k": "created_at", "o": "lt", "v": (NOW - timedelta(minutes=4997)).isoformat()}]) == 2
    documents.sorted.clear()
    assert newest() == 10
    assert sum(documents.sorted) < 50


@pytest.mark.parametrize(
    ("query", "served"),
    [
        ({}, True),
        ({"only": ["event_id"]}, True),
        ({"filter": [{"k": "severity", "o": "eq", "v": "INFO"}]}, True),
        ({"filter": [{"k": "event_key", "o": "eq", "v": "k"}]}, False),
        ({"sort": [{"key": "created_at"}]}, False),
        ({"only": ["resources"], "unwind": {"path": "resources"}}, False),
    ],
)
def test_serves_the_default_order_of_many(query: dict[str, Any], served: bool) -> None:
    assert serves(asked(**query)) is served


def test_bounds_are_those_of_all_conditions_together() -> None:
    filters = [
        {"k": "created_at", "o": "datetime_gte", "v": "2025-01-01"},
        {"k": "created_at", "o": "gt", "v": "2025-02-01"},
        {"k": "created_at", "o": "lt", "v": "2025-04-01"},
        {"k": "created_at", "o": "timediff_lt", "v": "now"},
        {"k": "created_at", "o": "not", "v": "2025-03-01"},
        {"k": "occurred_at", "o": "gt", "v": "2025-03-01"},
    ]
    assert bounds(asked(filter=filters).where) == (datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC))
    assert bounds(asked(filter_or=filters).where) == (FIRST, None)
