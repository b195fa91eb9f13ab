"""Natural group commit: requests queued while a write is in flight form the next batch."""

import asyncio
import contextlib
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest

from event_service.concurrency.group_commit import GroupCommit, _ThroughputEstimate
from event_service.errors import AlreadyExists, EventServiceError, Internal, Overloaded, TooLarge, Unavailable
from tests.waiting import until

Batch = Sequence[str]
Writer = GroupCommit[str, str]


class Request:
    """Something to be written, that can be referred to weakly."""


class Store:
    """A commit step that can be held, and that remembers what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.answer: Callable[[Batch], list[Any]] = lambda batch: [f"stored {name}" for name in batch]

    def __call__(self, batch: Batch) -> list[Any]:
        self.batches.append(list(batch))
        self.begun.set()
        assert self.gate.wait(10)
        return self.answer(batch)

    async def hold(self, writer: Writer) -> "asyncio.Future[str]":
        """Starts a batch of one ("first") and keeps it in flight until `gate` is set."""
        self.gate.clear()
        self.begun.clear()
        first = writer.submit("first")
        assert await asyncio.to_thread(self.begun.wait, 5)
        return first


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def writer(store: Store) -> AsyncIterator[Writer]:
    writer: Writer = GroupCommit(store, size_of=len, queue_items=8, queue_bytes=200, batch_count=4, batch_bytes=100)
    yield writer
    store.gate.set()
    await writer.close(5)


async def test_idle_writer_writes_immediately(writer: Writer, store: Store) -> None:
    assert await writer.submit("a") == "stored a"
    assert store.batches == [["a"]]
    assert (writer.depth, writer.depth_bytes) == (0, 0)


async def test_idle_writer_keeps_nothing_of_its_last_batch() -> None:
    writer: GroupCommit[Request, int] = GroupCommit(lambda batch: [1] * len(batch))
    request = Request()
    kept = weakref.ref(request)
    outcome = writer.submit(request)
    del request
    assert await outcome == 1
    await until(lambda: kept() is None)
    await writer.close(5)


async def test_requests_during_a_write_form_the_next_batch(writer: Writer, store: Store) -> None:
    first = await store.hold(writer)
    others = [writer.submit(name) for name in "abc"]
    assert writer.depth == 4
    assert writer.depth_bytes == 8
    store.gate.set()
    assert await asyncio.gather(first, *others) == ["stored first", "stored a", "stored b", "stored c"]
    assert store.batches == [["first"], ["a", "b", "c"]]


async def test_a_batch_is_bounded_in_number_and_bytes(writer: Writer, store: Store) -> None:
    first = await store.hold(writer)
    others = [writer.submit(name) for name in ["x" * 60, "y" * 60, "a", "b", "c", "d"]]
    store.gate.set()
    await asyncio.gather(first, *others)
    assert [[name[0] for name in batch] for batch in store.batches] == [["f"], ["x"], ["y", "a", "b", "c"], ["d"]]


async def test_a_request_larger_than_a_batch_is_one_of_its_own(writer: Writer, store: Store) -> None:
    first = await store.hold(writer)
    others = [writer.submit(name) for name in ["a", "x" * 150, "b"]]
    store.gate.set()
    await asyncio.gather(first, *others)
    assert [len(batch) for batch in store.batches] == [1, 1, 1, 1]


async def test_each_request_has_its_own_outcome(writer: Writer, store: Store) -> None:
    refusal = AlreadyExists("the key was used with another payload")
    store.answer = lambda batch: [refusal if name == "b" else name for name in batch]
    first = await store.hold(writer)
    others = [writer.submit(name) for name in "abc"]
    store.gate.set()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert results == ["first", "a", refusal, "c"]


@pytest.mark.parametrize("error", [Internal("x"), TooLarge("x"), ZeroDivisionError(), AssertionError()])
async def test_a_commit_that_fails_fails_its_own_batch_only(writer: Writer, store: Store, error: Exception) -> None:
    def fail(batch: Batch) -> list[Any]:
        if "bad" in batch:
            raise error
        return list(batch)

    store.answer = fail
    first = await store.hold(writer)
    others = [writer.submit(name) for name in ["bad", "a", "b", "c", "next"]]
    store.gate.set()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    expected = type(error) if isinstance(error, EventServiceError) else Internal
    assert [type(result) for result in results[1:5]] == [expected] * 4
    assert results[0] == "first"
    assert results[5] == "next"


async def test_a_commit_must_answer_every_request(writer: Writer, store: Store) -> None:
    store.answer = lambda _: []
    with pytest.raises(Internal):
        await writer.submit("a")


async def test_requests_behind_an_unavailable_write_fail_immediately(writer: Writer, store: Store) -> None:
    def away(_: Batch) -> list[Any]:
        raise Unavailable

    store.answer = away
    first = await store.hold(writer)
    others = [writer.submit(name) for name in "abcdef"]
    store.gate.set()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 7
    assert store.batches == [["first"]]
    store.answer = list
    assert await writer.submit("back") == "back"


async def test_request_over_the_queue_bound_is_refused(writer: Writer, store: Store) -> None:
    first = await store.hold(writer)
    others = [writer.submit(str(number)) for number in range(7)]
    with pytest.raises(Overloaded) as caught:
        writer.submit("one too many")
    assert caught.value.retry_after
    assert 0 < caught.value.retry_after <= 5
    with pytest.raises(Overloaded):
        writer.check()
    store.gate.set()
    await asyncio.gather(first, *others)
    writer.check()
    assert await writer.submit("now") == "stored now"


async def test_queue_is_bounded_in_bytes(writer: Writer, store: Store) -> None:
    first = await store.hold(writer)
    large = writer.submit("x" * 190)
    with pytest.raises(Overloaded):
        writer.submit("y" * 10)
    store.gate.set()
    await asyncio.gather(first, large)
    assert await writer.submit("z" * 300) == "stored " + "z" * 300, "an empty queue takes anything"


async def test_a_batch_is_bounded_in_events(store: Store) -> None:
    writer: Writer = GroupCommit(store, count_of=len, batch_count=5)
    first = await store.hold(writer)
    others = [writer.submit(name) for name in ["aa", "bb", "cc", "d" * 9, "e"]]
    store.gate.set()
    await asyncio.gather(first, *others)
    assert store.batches == [["first"], ["aa", "bb"], ["cc"], ["d" * 9], ["e"]]
    await writer.close(5)


async def test_request_that_would_wait_too_long_is_refused(store: Store) -> None:
    writer: Writer = GroupCommit(store, batch_count=2, longest_wait=0.005)
    store.answer = lambda batch: time.sleep(0.05) or list(batch)  # type: ignore[func-returns-value]
    for _ in range(5):
        await asyncio.gather(writer.submit("a"), writer.submit("b"))
    first = await store.hold(writer)
    second = writer.submit("less than a batch before it")
    with pytest.raises(Overloaded) as caught:
        writer.submit("a batch before it")
    assert caught.value.retry_after
    store.gate.set()
    await asyncio.gather(first, second)
    await writer.close(5)


FULL = 256  # events in a batch


def estimate_after(commit: float, event: float, sizes: Sequence[int]) -> _ThroughputEstimate:
    """Of batches of those sizes, on a database that takes `commit` and for each event `event` seconds."""
    estimate = _ThroughputEstimate()
    for size in sizes:
        estimate.update(commit + size * event, size)
    return estimate


@pytest.mark.parametrize(
    ("commit", "event", "size"),
    [
        pytest.param(0.01, 0.001, 1, id="one event at a time"),
        pytest.param(0.03, 0.001, 1, id="one at a time on a busy machine"),
        pytest.param(0.1, 0.001, 1, id="one at a time, far away"),
        pytest.param(0.1, 0.001, 8, id="a few callers, far away"),
        pytest.param(0.01, 0.0003, FULL, id="already busy"),
    ],
)
@pytest.mark.parametrize("batches", [1, 60, 10_000])
def test_small_batches_do_not_inflate_the_estimate(commit: float, event: float, size: int, batches: int) -> None:
    assert estimate_after(commit, event, [size] * batches).wait(800, FULL) < 2


@pytest.mark.parametrize("event", [0.003, 0.005, 0.01])
def test_estimate_converges_after_a_few_batches(event: float) -> None:
    estimate = estimate_after(0.01, event, [1] * 100)
    for _ in range(10):
        size = min(FULL, estimate.within(0.9))
        estimate.update(0.01 + size * event, size)
    assert estimate.wait(4 * FULL, FULL) == pytest.approx(4 * (0.01 + FULL * event), rel=0.15)


@pytest.mark.parametrize(
    "measures",
    [
        {"count_of": len, "batch_count": 10},
        {"size_of": lambda name: len(name) * 100_000, "batch_bytes": 1_000_000},
    ],
    ids=["events", "bytes"],
)
async def test_time_limit_grows_for_requests_larger_than_a_batch(measures: dict[str, Any]) -> None:
    limits: list[float] = []

    @contextlib.contextmanager
    def limit(seconds: float) -> Iterator[None]:
        limits.append(seconds)
        yield

    writer: Writer = GroupCommit(list, time_limit=limit, **measures)
    await writer.submit("x" * 10)
    await writer.submit("x" * 110)
    assert limits == [1.8, 2.8]
    await writer.close(5)


async def test_cancelled_caller_does_not_stop_the_write(writer: Writer, store: Store) -> None:
    first = await store.hold(writer)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.submit("late"), 0.01)
    gone = asyncio.ensure_future(writer.submit("gone"))
    gone.cancel()
    first.cancel()
    store.gate.set()
    assert await writer.submit("last") == "stored last"
    assert [name for batch in store.batches for name in batch] == ["first", "late", "gone", "last"]
    assert writer.depth == 0


async def test_event_loop_is_woken_once_per_batch(
    writer: Writer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    wakings: list[Any] = []
    first = await store.hold(writer)
    original = loop.call_soon_threadsafe

    def counted(callback: Callable[..., Any], *arguments: Any) -> Any:
        wakings.append(callback)
        return original(callback, *arguments)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    others = [writer.submit(name) for name in "abcd"]
    store.gate.set()
    await asyncio.gather(first, *others)
    assert len(wakings) == 2


async def test_suspended_calls_fail_immediately(writer: Writer, store: Store) -> None:
    first = await store.hold(writer)
    queued = writer.submit("queued")
    writer.suspend(Unavailable())
    results = await asyncio.wait_for(asyncio.gather(first, queued, return_exceptions=True), 1)
    assert [type(result) for result in results] == [Unavailable] * 2
    assert writer.depth == 0
    with pytest.raises(Unavailable):
        writer.submit("a")
    writer.resume()
    again = writer.submit("again")
    store.gate.set()
    assert await again == "stored again"
    assert store.batches == [["first"], ["again"]], "what was answered is not written later"


@pytest.mark.parametrize(("seconds", "most"), [(0.0001, 256), (0.03, 30), (0.5, 8)])
async def test_batches_shrink_on_a_slow_database(store: Store, seconds: float, most: int) -> None:
    writer: Writer = GroupCommit(store, longest_wait=1000)
    for _ in range(100):
        writer._estimate.update(10 * seconds, 10)
    first = await store.hold(writer)
    others = [writer.submit(str(number)) for number in range(300)]
    store.gate.set()
    await asyncio.gather(first, *others)
    await writer.close(5)
    assert len(store.batches[1]) == most


async def test_each_caller_gets_its_own_error(writer: Writer, store: Store) -> None:
    def fail(batch: Batch) -> list[Any]:
        raise Unavailable

    store.answer = fail
    first = await store.hold(writer)
    others = [writer.submit(name) for name in "ab"]
    store.gate.set()
    failed = await asyncio.gather(first, *others, return_exceptions=True)
    writer.suspend(Unavailable())
    refused, depths = [], []
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            writer.submit("a")
        refused.append(caught.value)
        depths.append(len(caught.traceback))
    assert len(set(depths)) == 1, "grows from one to the next"
    assert len({id(error) for error in [*failed, *refused]}) == 6


async def test_close_writes_the_queue(store: Store) -> None:
    writer: Writer = GroupCommit(store)
    first = await store.hold(writer)
    others = [writer.submit(name) for name in "abc"]
    closing = asyncio.create_task(writer.close(5))
    await asyncio.sleep(0)
    writer.resume()
    with pytest.raises(Unavailable):
        writer.submit("too late")
    store.gate.set()
    await closing
    assert await asyncio.gather(first, *others) == ["stored first", "stored a", "stored b", "stored c"]
    assert not writer._thread.is_alive()


async def test_unwritten_requests_fail_after_the_grace_period(store: Store) -> None:
    writer: Writer = GroupCommit(store)
    first = await store.hold(writer)
    other = writer.submit("a")
    await writer.close(0.05)
    results = await asyncio.wait_for(asyncio.gather(first, other, return_exceptions=True), 1)
    assert [type(result) for result in results] == [Unavailable] * 2
    store.gate.set()
    await asyncio.to_thread(writer._thread.join, 5)
    assert not writer._thread.is_alive()
    assert store.batches == [["first"]]


async def test_concurrent_callers_get_their_own_answers() -> None:
    writer: GroupCommit[int, int] = GroupCommit(lambda batch: [number * 2 for number in batch], batch_count=7)

    async def caller(start: int) -> None:
        for number in range(start, start + 50):
            assert await writer.submit(number) == number * 2

    await asyncio.gather(*(caller(index * 50) for index in range(40)))
    await writer.close(5)


Job = tuple[str, int]
"""A request: its key, and the events that are left of it."""


class Parts:
    """A commit step that writes four events of a request at a time."""

    def __init__(self) -> None:
        self.left: dict[int, int] = {}
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.begun = threading.Event()

    def count(self, job: Job) -> int:
        return self.left.get(id(job), job[1])

    def __call__(self, batch: Sequence[Job]) -> list[str | None]:
        self.batches.append([job[0] for job in batch])
        self.begun.set()
        assert self.gate.wait(10)
        for job in batch:
            self.left[id(job)] = max(self.count(job) - 4, 0)
        return [None if self.left[id(job)] else job[0] for job in batch]


@pytest.fixture
async def parts() -> AsyncIterator[tuple[Parts, GroupCommit[Job, str]]]:
    commit = Parts()
    writer: GroupCommit[Job, str] = GroupCommit(
        commit, key_of=lambda job: job[0], count_of=commit.count, queue_items=4, batch_count=4, longest_wait=1000
    )
    yield commit, writer
    commit.gate.set()
    await writer.close(5)


async def test_batches_take_from_each_key_in_turn(parts: tuple[Parts, GroupCommit[Job, str]]) -> None:
    commit, writer = parts
    jobs = [("hog", 4), ("hog", 4), ("hog", 4), ("a", 1), ("b", 1), ("a", 1)]
    answers = [writer.submit(job) for job in jobs]
    await asyncio.to_thread(commit.begun.wait, 5)
    commit.gate.set()
    assert await asyncio.gather(*answers) == [key for key, _ in jobs]
    assert commit.batches[0] == ["hog"]
    assert [key for batch in commit.batches[:3] for key in batch].count("hog") <= 2
    assert commit.batches[-1] == ["hog"]


async def test_others_are_written_between_the_parts_of_a_request(
    parts: tuple[Parts, GroupCommit[Job, str]],
) -> None:
    commit, writer = parts
    large, next_of_it = writer.submit(("hog", 18)), writer.submit(("hog", 1))
    await asyncio.to_thread(commit.begun.wait, 5)
    others = [writer.submit(("other", 1)) for _ in range(2)]
    commit.gate.set()
    assert await asyncio.gather(large, next_of_it, *others) == ["hog", "hog", "other", "other"]
    assert commit.batches[:2] == [["hog"], ["other", "other"]]
    assert len(commit.batches) == 6, "the last part and the next request are one batch"


async def test_a_full_share_does_not_refuse_other_keys(parts: tuple[Parts, GroupCommit[Job, str]]) -> None:
    commit, writer = parts
    answers = [writer.submit(("hog", 1)) for _ in range(4)]
    with pytest.raises(Overloaded):
        writer.submit(("hog", 1))
    writer.check("other")
    answers.append(writer.submit(("other", 1)))
    commit.gate.set()
    await asyncio.gather(*answers)


async def test_what_one_key_sends_does_not_make_others_wait_too_long(store: Store) -> None:
    writer: Writer = GroupCommit(store, key_of=lambda name: name[0], count_of=len, batch_count=4, longest_wait=1.0)
    writer._estimate.update(100, 100)
    first = await store.hold(writer)
    hog = writer.submit("h" * 100)
    with pytest.raises(Overloaded):
        writer.submit("h")
    other = writer.submit("other")
    store.gate.set()
    assert await asyncio.gather(first, hog, other)
    await writer.close(5)
