"""Batched look-ups: one call in flight, all other questions in the next."""

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from event_service.concurrency.batched_lookup import BatchedLookup
from event_service.concurrency.thread_pool import ThreadPool
from event_service.errors import Unavailable


@pytest.fixture
def threads() -> Iterator[ThreadPool]:
    threads = ThreadPool(2)
    yield threads
    threads.close()


class Asked:
    """Answers when it is let, and remembers what it was asked."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.calls: list[tuple[str, list[int]]] = []

    def __call__(self, key: str, questions: Sequence[int]) -> list[int]:
        self.calls.append((key, list(questions)))
        self.let.wait(5)
        if 13 in questions:
            raise Unavailable
        return [question * 10 for question in questions]


async def test_questions_during_a_call_share_the_next_call(threads: ThreadPool) -> None:
    asked = Asked()
    batches: BatchedLookup[str, int, int] = BatchedLookup(threads, asked)
    answers = [batches.submit("a", number) for number in range(4)] + [batches.submit("b", 9)]
    await asyncio.sleep(0.02)
    asked.let.set()
    assert await asyncio.gather(*answers) == [0, 10, 20, 30, 90]
    assert sorted(asked.calls) == [("a", [0]), ("a", [1, 2, 3]), ("b", [9])]


async def test_cancelled_questions_are_not_asked(threads: ThreadPool) -> None:
    asked = Asked()
    batches: BatchedLookup[str, int, int] = BatchedLookup(threads, asked)
    first, second, third = (batches.submit("a", number) for number in range(3))
    first.cancel()
    second.cancel()
    asked.let.set()
    assert await third == 20
    assert asked.calls == [("a", [0]), ("a", [2])]


async def test_failure_reaches_all_callers_of_its_call_only(threads: ThreadPool) -> None:
    asked = Asked()
    batches: BatchedLookup[str, int, int] = BatchedLookup(threads, asked)
    answers = [batches.submit("a", number) for number in (1, 13, 2)]
    asked.let.set()
    results = await asyncio.gather(*answers, return_exceptions=True)
    assert results[0] == 10
    assert isinstance(results[1], Unavailable)
    assert isinstance(results[2], Unavailable)
    assert await batches.submit("a", 3) == 30


async def test_nothing_is_kept_after_the_last_answer(threads: ThreadPool) -> None:
    asked = Asked()
    asked.let.set()
    batches: BatchedLookup[str, int, int] = BatchedLookup(threads, asked)
    await batches.submit("a", 1)
    await asyncio.sleep(0)
    assert not batches._waiting
