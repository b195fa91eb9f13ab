"""Watching: everything once and in order, whatever becomes visible late, and on from a token."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import InvalidArgument, NotFound, Overloaded
from event_service.events import watch as watch_module
from event_service.events.watch import Watcher
from event_service.model.scope import Scope
from event_service.wire.event_info import encode_event_info
from event_service.wire.timestamps import parse_timestamp

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SCOPE = Scope("domain-1")


@dataclass(frozen=True)
class FakePage:
    rows: list[bytes]


@dataclass
class FakeStore:
    """Events by id, in the order of receipt."""

    events: dict[str, datetime] = field(default_factory=dict)
    asked: int = 0

    async def get(self, scope: Scope, event_id: str) -> bytes:
        if event_id not in self.events:
            raise NotFound("event_id", event_id)
        return encode_event_info({"event_id": event_id, "created_at": self.events[event_id]})

    async def list(self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str]) -> FakePage:
        self.asked += 1
        since = parse_timestamp(query["filter"][-1]["v"])
        skip, limit = query["page"]["start"] - 1, query["page"]["limit"]
        found = sorted((at, event_id) for event_id, at in self.events.items() if at >= since)
        return FakePage(
            [encode_event_info({"event_id": event_id, "created_at": at}) for at, event_id in found[skip : skip + limit]]
        )


@dataclass
class Watched:
    store: FakeStore = field(default_factory=FakeStore)
    now: datetime = START
    confirmed_at: datetime | None = None

    async def told(self, polls: int, token: str = "", then: Any = None) -> tuple[list[str], str]:
        """What is told until that many polls have ended, and the last token; `then(poll)` happens after each."""
        watcher = Watcher(
            self.store,
            poll_seconds=0,
            clock=lambda: self.now,
            confirmed_at=lambda: self.confirmed_at or self.now,
        )
        ids = []
        async with aclosing(watcher.watch(SCOPE, {}, {}, token)) as news:
            async for one in news:
                ids += [event_pb2.EventInfo.FromString(row).event_id for row in one.events]
                if not one.events:
                    polls -= 1
                    if then:
                        then(polls)
                if not polls:
                    return ids, one.token
        raise AssertionError("it ended")


async def test_events_from_now_on_are_told_once() -> None:
    watched = Watched()
    watched.store.events = {"old": START - timedelta(seconds=1), "new": START}
    assert (await watched.told(3))[0] == ["new"]


async def test_an_event_that_becomes_visible_late_is_told_too() -> None:
    watched = Watched()

    def later(polls: int) -> None:
        watched.now += timedelta(seconds=4)
        if polls == 2:
            watched.store.events["late"] = START + timedelta(seconds=1)

    watched.store.events = {"on time": START + timedelta(seconds=2)}
    assert (await watched.told(5, then=later))[0] == ["on time", "late"]


async def test_an_event_is_told_that_was_taken_without_a_majority_and_confirmed_long_after() -> None:
    watched = Watched(confirmed_at=START)

    def later(polls: int) -> None:
        watched.now += timedelta(minutes=1)
        if polls == 1:
            watched.store.events["confirmed at last"] = START + timedelta(seconds=1)
            watched.confirmed_at = watched.now

    assert (await watched.told(4, then=later))[0] == ["confirmed at last"]


async def test_going_on_from_a_token_loses_nothing() -> None:
    watched = Watched()
    watched.store.events = {f"event-{second:02}": START + timedelta(seconds=second) for second in range(30)}
    watched.now = START + timedelta(seconds=20)
    before, token = await watched.told(1, token="2026-03-01T12:00:00.000Z")
    watched.now += timedelta(minutes=5)
    after, _ = await watched.told(1, token=token)
    assert sorted({*before, *after}) == sorted(watched.store.events)
    assert after[0] == "event-10"  # the overlap is told again


async def test_more_than_a_page_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "_PAGE", 7)
    monkeypatch.setattr(watch_module, "_TOLD_AT_ONCE", 3)
    watched = Watched()
    same, spread = START + timedelta(seconds=1), START + timedelta(seconds=2)
    watched.store.events = {f"a{number:02}": same for number in range(20)}
    watched.store.events |= {f"b{number:02}": spread + timedelta(milliseconds=number) for number in range(20)}
    assert (await watched.told(2))[0] == list(watched.store.events)


async def test_of_what_is_long_over_little_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "_PAGE", 7)
    store = FakeStore({f"a{number:03}": START + timedelta(milliseconds=number // 3) for number in range(100)})
    store.events |= {f"b{number:03}": START + timedelta(hours=1, milliseconds=number) for number in range(20)}
    watcher = Watcher(store, poll_seconds=0, clock=lambda: START + timedelta(hours=1))
    told, remembered = [], []
    async with aclosing(watcher._news(SCOPE, {}, {}, START)) as news:
        async for one in news:
            told += [event_pb2.EventInfo.FromString(row).event_id for row in one.events]
            assert news.ag_frame is not None
            remembered.append(len(news.ag_frame.f_locals["told"]))
            if remembered[-2:] == [20, 20]:  # the second look has told nothing
                break
    assert told == list(store.events)
    assert max(remembered) < 7 + 3 + 20


async def test_events_that_were_deleted_meanwhile_are_left_out() -> None:
    watched = Watched()
    watched.store.events = {"gone": START, "there": START}
    real = watched.store.list

    async def list_and_delete(scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str]) -> FakePage:
        page = await real(scope, query, equals)
        watched.store.events.pop("gone", None)
        return page

    watched.store.list = list_and_delete  # type: ignore[method-assign]
    assert (await watched.told(1))[0] == ["there"]


@pytest.mark.parametrize(
    ("query", "token"), [({"sort": [{"key": "title"}]}, ""), ({}, "yesterday"), ({"page": {}}, "")]
)
async def test_what_has_no_meaning_is_refused(query: dict[str, Any], token: str) -> None:
    async with aclosing(Watcher(FakeStore()).watch(SCOPE, query, {}, token)) as news:
        with pytest.raises(InvalidArgument):
            await anext(news)


async def test_so_many_may_watch_and_no_more() -> None:
    watcher = Watcher(FakeStore(), poll_seconds=0, most=1)
    async with aclosing(watcher.watch(SCOPE, {}, {})) as first:
        await anext(first)
        with pytest.raises(Overloaded):
            await anext(watcher.watch(SCOPE, {}, {}))
    async with aclosing(watcher.watch(SCOPE, {}, {})) as later:
        await anext(later)


class FakeFeed:
    """A feed that tests speak through."""

    def __init__(self) -> None:
        self.live = True
        self.stopped = False
        self.told: Callable[[], None] | None = None

    def __call__(self, told: Callable[[], None]) -> "FakeFeed":
        self.told = told
        return self

    def tell(self) -> None:
        assert self.told is not None
        thread = threading.Thread(target=self.told)
        thread.start()
        thread.join()

    def stop(self) -> None:
        self.stopped = True


async def test_it_is_looked_when_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "QUIET_SECONDS", 3600)
    store, feed = FakeStore(), FakeFeed()
    watcher = Watcher(store, feed, poll_seconds=0, clock=lambda: START)
    async with aclosing(watcher.watch(SCOPE, {}, {})) as news, aclosing(watcher.watch(SCOPE, {}, {})) as others:
        assert (await anext(news)).events == (await anext(others)).events == ()
        both = [asyncio.ensure_future(anext(news)), asyncio.ensure_future(anext(others))]
        assert (await asyncio.wait(both, timeout=0.05))[0] == set()
        store.events = {"new": START}
        feed.tell()
        for one in both:
            (row,) = (await asyncio.wait_for(one, 10)).events
            assert event_pb2.EventInfo.FromString(row).event_id == "new"
        # Not live any more: the clock says when to look.
        await anext(news)
        feed.live = False
        assert (await asyncio.wait_for(anext(news), 10)).events == ()
        assert not feed.stopped
    assert feed.stopped


async def test_what_is_told_of_during_a_look_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "QUIET_SECONDS", 3600)
    store, feed = FakeStore(), FakeFeed()
    async with aclosing(Watcher(store, feed, poll_seconds=0, clock=lambda: START).watch(SCOPE, {}, {})) as news:
        await anext(news)
        feed.tell()
        assert (await asyncio.wait_for(anext(news), 10)).events == ()
