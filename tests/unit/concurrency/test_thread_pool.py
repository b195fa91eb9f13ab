"""Calls from the event loop to worker threads."""

import asyncio
import threading
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
            threads.run(int)
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
