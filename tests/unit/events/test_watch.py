"""Watch: each event once and in order, also if it becomes visible late, and resumed from a token."""

import asyncio
import threading
from collections import deque
from collections.abc import Mapping
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
from event_service.store.change_stream import InsertedEvent, OnChange
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
        *among, since = query["filter"]
        skip, limit = query["page"]["start"] - 1, query["page"]["limit"]
        found = sorted(
            (at, event_id)
            for event_id, at in self.events.items()
            if at >= parse_timestamp(since["v"]) and all(event_id in one["v"] for one in among)
        )
        return FakePage(
            [encode_event_info({"event_id": event_id, "created_at": at}) for at, event_id in found[skip : skip + limit]]
        )


@dataclass
class Watched:
    store: FakeStore = field(default_factory=FakeStore)
    now: datetime = START
    confirmed_at: datetime | None = None

    async def poll(self, polls: int, token: str = "", then: Any = None) -> tuple[list[str], str]:
        """Return the ids sent in that many polls, and the last token. Call `then(polls left)` after each."""
        watcher = Watcher(
            self.store,
            poll_seconds=0,
            clock=lambda: self.now,
            confirmed_at=lambda: self.confirmed_at or self.now,
        )
        ids = []
        async with aclosing(watcher.watch(SCOPE, {}, {}, token)) as batches:
            async for one in batches:
                ids += [event_pb2.EventInfo.FromString(row).event_id for row in one.events]
                if not one.events:
                    polls -= 1
                    if then:
                        then(polls)
                if not polls:
                    return ids, one.token
        raise AssertionError("it ended")


async def test_new_events_are_sent_once() -> None:
    watched = Watched()
    watched.store.events = {"old": START - timedelta(seconds=1), "new": START}
    assert (await watched.poll(3))[0] == ["new"]


async def test_events_visible_late_are_sent() -> None:
    watched = Watched()

    def later(polls: int) -> None:
        watched.now += timedelta(seconds=4)
        if polls == 2:
            watched.store.events["late"] = START + timedelta(seconds=1)

    watched.store.events = {"on time": START + timedelta(seconds=2)}
    assert (await watched.poll(5, then=later))[0] == ["on time", "late"]


async def test_events_confirmed_after_a_lost_majority_are_sent() -> None:
    watched = Watched(confirmed_at=START)

    def later(polls: int) -> None:
        watched.now += timedelta(minutes=1)
        if polls == 1:
            watched.store.events["confirmed at last"] = START + timedelta(seconds=1)
            watched.confirmed_at = watched.now

    assert (await watched.poll(4, then=later))[0] == ["confirmed at last"]


async def test_resume_token_loses_no_event() -> None:
    watched = Watched()
    watched.store.events = {f"event-{second:02}": START + timedelta(seconds=second) for second in range(30)}
    watched.now = START + timedelta(seconds=20)
    before, token = await watched.poll(1, token="2026-03-01T12:00:00.000Z")
    watched.now += timedelta(minutes=5)
    after, _ = await watched.poll(1, token=token)
    assert sorted({*before, *after}) == sorted(watched.store.events)
    assert after[0] == "event-10"  # the overlap is sent again


async def test_more_events_than_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "PAGE", 7)
    monkeypatch.setattr(watch_module, "BATCH_ROWS", 3)
    watched = Watched()
    same, spread = START + timedelta(seconds=1), START + timedelta(seconds=2)
    watched.store.events = {f"a{number:02}": same for number in range(20)}
    watched.store.events |= {f"b{number:02}": spread + timedelta(milliseconds=number) for number in range(20)}
    assert (await watched.poll(2))[0] == list(watched.store.events)


async def test_memory_of_sent_events_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "PAGE", 7)
    store = FakeStore({f"a{number:03}": START + timedelta(milliseconds=number // 3) for number in range(100)})
    store.events |= {f"b{number:03}": START + timedelta(hours=1, milliseconds=number) for number in range(20)}
    watcher = Watcher(store, poll_seconds=0, clock=lambda: START + timedelta(hours=1))
    sent, remembered = [], []
    async with aclosing(watcher._poll(SCOPE, {}, {}, START, deque())) as batches:
        async for one in batches:
            sent += [event_pb2.EventInfo.FromString(row).event_id for row in one.events]
            assert batches.ag_frame is not None
            remembered.append(len(batches.ag_frame.f_locals["sent"]))
            if remembered[-2:] == [20, 20]:  # the second poll has sent nothing
                break
    assert sent == list(store.events)
    assert max(remembered) < 7 + 3 + 20


async def test_events_deleted_meanwhile_are_left_out() -> None:
    watched = Watched()
    watched.store.events = {"gone": START, "there": START}
    real = watched.store.list

    async def list_and_delete(scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str]) -> FakePage:
        page = await real(scope, query, equals)
        watched.store.events.pop("gone", None)
        return page

    watched.store.list = list_and_delete  # type: ignore[method-assign]
    assert (await watched.poll(1))[0] == ["there"]


@pytest.mark.parametrize(
    ("query", "token"), [({"sort": [{"key": "title"}]}, ""), ({}, "yesterday"), ({"page": {}}, "")]
)
async def test_unsupported_queries_and_tokens_are_refused(query: dict[str, Any], token: str) -> None:
    async with aclosing(Watcher(FakeStore()).watch(SCOPE, query, {}, token)) as batches:
        with pytest.raises(InvalidArgument):
            await anext(batches)


async def test_watchers_over_the_limit_are_refused() -> None:
    watcher = Watcher(FakeStore(), poll_seconds=0, most=1)
    async with aclosing(watcher.watch(SCOPE, {}, {})) as first:
        await anext(first)
        with pytest.raises(Overloaded):
            await anext(watcher.watch(SCOPE, {}, {}))
    async with aclosing(watcher.watch(SCOPE, {}, {})) as later:
        await anext(later)


async def test_watchers_of_another_domain_are_not_refused() -> None:
    watcher = Watcher(FakeStore(), poll_seconds=0, most=1)
    async with aclosing(watcher.watch(SCOPE, {}, {})) as first:
        await anext(first)
        with pytest.raises(Overloaded):
            await anext(watcher.watch(SCOPE, {}, {}))
        async with aclosing(watcher.watch(Scope("domain-2"), {}, {})) as other:
            await anext(other)


class FakeChangeStream:
    """A change stream driven by tests."""

    def __init__(self) -> None:
        self.live = True
        self.stopped = False
        self.on_change: OnChange | None = None

    def __call__(self, on_change: OnChange) -> "FakeChangeStream":
        self.on_change = on_change
        return self

    def change(self, inserted: InsertedEvent | None = None) -> None:
        assert self.on_change is not None
        thread = threading.Thread(target=self.on_change, args=(inserted,))
        thread.start()
        thread.join()

    def stop(self) -> None:
        self.stopped = True


async def test_change_stream_triggers_a_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "LIVE_POLL_SECONDS", 3600)
    store, stream = FakeStore(), FakeChangeStream()
    watcher = Watcher(store, stream, poll_seconds=0, clock=lambda: START)
    async with aclosing(watcher.watch(SCOPE, {}, {})) as batches, aclosing(watcher.watch(SCOPE, {}, {})) as others:
        assert (await anext(batches)).events == (await anext(others)).events == ()
        both = [asyncio.ensure_future(anext(batches)), asyncio.ensure_future(anext(others))]
        assert (await asyncio.wait(both, timeout=0.05))[0] == set()
        store.events = {"new": START}
        stream.change()
        for one in both:
            (row,) = (await asyncio.wait_for(one, 10)).events
            assert event_pb2.EventInfo.FromString(row).event_id == "new"
        # Not live any more: the timer triggers the poll.
        await anext(batches)
        stream.live = False
        assert (await asyncio.wait_for(anext(batches), 10)).events == ()
        assert not stream.stopped
    assert stream.stopped


async def test_change_during_a_poll_triggers_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "LIVE_POLL_SECONDS", 3600)
    store, stream = FakeStore(), FakeChangeStream()
    async with aclosing(Watcher(store, stream, poll_seconds=0, clock=lambda: START).watch(SCOPE, {}, {})) as batches:
        await anext(batches)
        stream.change()
        assert (await asyncio.wait_for(anext(batches), 10)).events == ()


async def test_event_that_becomes_readable_after_the_overlap_is_sent() -> None:
    store, stream, now = FakeStore(), FakeChangeStream(), START
    watcher = Watcher(store, stream, poll_seconds=0, clock=lambda: now)
    async with aclosing(watcher.watch(SCOPE, {}, {})) as batches:
        await anext(batches)
        now = START + timedelta(minutes=5)
        assert (await anext(batches)).events == ()
        store.events = {"late": START + timedelta(seconds=1), "before the watch": START - timedelta(hours=1)}
        stream.change(InsertedEvent("late", START + timedelta(seconds=1)))
        ids = []
        for _ in range(3):
            ids += [event_pb2.EventInfo.FromString(row).event_id for row in (await anext(batches)).events]
    assert ids == ["late"]
