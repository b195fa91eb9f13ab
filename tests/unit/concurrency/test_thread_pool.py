"""Calls from the event loop to worker threads."""

import asyncio
import threading
import time
import weakref
from collections.abc import AsyncIterator

import pytest

from event_service.concurrency.thread_pool import ThreadPool
from event_service.errors import NotFound, Overloaded, Unavailable
from tests.waiting import until


@pytest.fixture
async def threads() -> AsyncIterator[ThreadPool]:
    threads = ThreadPool(2, waiting=2)
    yield threads
    threads.close()


async def test_call_runs_in_a_worker_thread(threads: ThreadPool) -> None:
    name, total = await threads.run(lambda *numbers: (threading.current_thread().name, sum(numbers)), 1, 2)
    assert (name.startswith("store-"), total) == (True, 3)
    assert threads.pending == 0


class Thing:
    """An argument or a result, that can be referred to weakly."""


async def test_idle_threads_keep_nothing_of_their_calls(threads: ThreadPool) -> None:
    argument, result = Thing(), threads.run(Thing)
    kept = [weakref.ref(argument), weakref.ref(await result)]
    await threads.run(id, argument)
    gate = threading.Event()
    running = [threads.run(gate.wait, 10) for _ in range(2)]
    dropped = threads.run(id, argument)
    dropped.cancel()
    gate.set()
    await asyncio.gather(*running)
    del argument, result, dropped
    await until(lambda: [reference() for reference in kept] == [None, None])


async def test_an_error_reaches_the_caller(threads: ThreadPool) -> None:
    def fail() -> None:
        raise NotFound("event_id", "x")

    with pytest.raises(NotFound):
        await threads.run(fail)


async def test_stop_iteration_does_not_hang_the_caller(threads: ThreadPool) -> None:
    with pytest.raises(RuntimeError):
        await threads.run(lambda: next(iter(())))


async def test_calls_over_the_bound_are_refused(threads: ThreadPool) -> None:
    gate = threading.Event()
    running = [threads.run(gate.wait) for _ in range(4)]
    with pytest.raises(Overloaded) as caught:
        threads.run(gate.wait)
    assert caught.value.retry_after
    gate.set()
    assert await asyncio.gather(*running) == [True] * 4
    assert await threads.run(int) == 0


async def test_one_key_leaves_threads_for_others(threads: ThreadPool) -> None:
    gate = threading.Event()
    stuck = [threads.run_for("hog", gate.wait) for _ in range(4)]
    assert await threads.run_for("other", int) == 0
    with pytest.raises(Overloaded):
        threads.run_for("hog", int)
    assert not any(call.done() for call in stuck)
    gate.set()
    assert await asyncio.gather(*stuck) == [True] * 4


async def test_waiting_calls_of_keys_take_turns() -> None:
    threads = ThreadPool(1, threads=1)
    gate, order = threading.Event(), list[str]()
    first = threads.run(gate.wait)
    waiting = [threads.run_for(key, order.append, key) for key in ["hog"] * 5 + ["a", "b"]]
    gate.set()
    await asyncio.gather(first, *waiting)
    assert order == ["hog", "a", "b", "hog", "hog", "hog", "hog"]
    threads.close()


async def test_threads_are_used_by_whoever_waits() -> None:
    """Threads given back are taken by those keys that may have them, also where one lets two begin."""
    threads = ThreadPool(4, waiting=1000)
    running, most = 0, 0
    lock = threading.Lock()

    def count() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.0005)
        with lock:
            running -= 1

    await asyncio.gather(*(threads.run_for(key, count) for _ in range(100) for key in ("a", "b", "c")))
    assert 4 < most <= 8
    assert (threads._running.used, threads.pending) == (0, 0)
    assert not threads._waiting
    threads.close()


async def test_cancelled_call_is_not_started(threads: ThreadPool) -> None:
    gate, called = threading.Event(), threading.Event()
    running = [threads.run(gate.wait) for _ in range(2)]
    dropped = threads.run(called.set)
    dropped.cancel()
    gate.set()
    await asyncio.gather(*running)
    await threads.run(int)
    assert not called.is_set()


async def test_suspended_calls_fail_immediately(threads: ThreadPool) -> None:
    gate = threading.Event()
    stuck = [threads.run(gate.wait) for _ in range(3)]
    threads.suspend(Unavailable())
    results = await asyncio.wait_for(asyncio.gather(*stuck, return_exceptions=True), 1)
    assert [type(result) for result in results] == [Unavailable] * 3
    with pytest.raises(Unavailable):
        await threads.run(int)
    threads.resume()
    gate.set()
    assert await threads.run(int) == 0


async def test_each_caller_gets_its_own_error(threads: ThreadPool) -> None:
    gate = threading.Event()
    stuck = [threads.run(gate.wait) for _ in range(3)]
    threads.suspend(Unavailable())
    errors = await asyncio.gather(*stuck, return_exceptions=True)
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            threads.run_for("", int)
        errors.append(caught.value)
        assert len(caught.traceback) == 2, "grows from one to the next"
    assert len({id(error) for error in errors}) == 6
    gate.set()


async def test_close_fails_pending_calls_and_ends_the_threads() -> None:
    threads = ThreadPool(1)
    gate = threading.Event()
    stuck = threads.run(gate.wait)
    threads.close()
    with pytest.raises(Unavailable):
        await stuck
    threads.resume()
    with pytest.raises(Unavailable):
        await threads.run(int)
    gate.set()
    for thread in threads._threads:
        thread.join(2)
        assert not thread.is_alive()
