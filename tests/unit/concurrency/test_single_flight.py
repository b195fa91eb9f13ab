"""Single flight: equal questions share an answer, and every answer was started after its question."""

import asyncio

import pytest

from event_service.concurrency.single_flight import SingleFlight
from event_service.errors import QueryError


class Slow:
    """Answers each question with the number of the asking, when it is released."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.failure: Exception | None = None

    async def ask(self, question: str) -> str:
        self.asked.append(question)
        number = len(self.asked)
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return f"{question} {number}"


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_single_caller_is_answered() -> None:
    slow = Slow()
    slow.go.set()
    shared = SingleFlight(slow.ask)
    assert await shared("a") == "a 1"
    assert await shared("a") == "a 2"


async def test_later_caller_gets_a_later_answer() -> None:
    slow = Slow()
    shared = SingleFlight(slow.ask)
    first = asyncio.create_task(shared("a"))
    await settle()
    later = [asyncio.create_task(shared("a")) for _ in range(10)]
    await settle()
    assert slow.asked == ["a"]
    slow.go.set()
    assert await first == "a 1"
    assert await asyncio.gather(*later) == ["a 2"] * 10
    assert slow.asked == ["a", "a"]


async def test_different_questions_do_not_wait_for_each_other() -> None:
    slow = Slow()
    shared = SingleFlight(slow.ask)
    tasks = [asyncio.create_task(shared(question)) for question in ("a", "b")]
    await settle()
    assert slow.asked == ["a", "b"]
    slow.go.set()
    assert await asyncio.gather(*tasks) == ["a 1", "b 2"]


async def test_failure_reaches_only_the_callers_that_share_it() -> None:
    slow = Slow()
    shared = SingleFlight(slow.ask)
    tasks = [asyncio.create_task(shared("a")) for _ in range(3)]
    await settle()
    slow.failure = QueryError("no")
    slow.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [QueryError] * 3
    assert len({id(result) for result in results}) == 3, "one error collects the traceback of all who wait"
    slow.failure = None
    assert await shared("a") == "a 3"


async def test_cancelled_caller_does_not_affect_others() -> None:
    slow = Slow()
    shared = SingleFlight(slow.ask)
    first = asyncio.create_task(shared("a"))
    await settle()
    second, third = (asyncio.create_task(shared("a")) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    second.cancel()
    slow.go.set()
    assert await third == "a 2"
    for task in (first, second):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_question_of_cancelled_callers_is_not_asked() -> None:
    slow = Slow()
    shared = SingleFlight(slow.ask)
    first = asyncio.create_task(shared("a"))
    await settle()
    second = asyncio.create_task(shared("a"))
    await settle()
    second.cancel()
    await settle()
    slow.go.set()
    assert await first == "a 1"
    await settle()
    assert slow.asked == ["a"]


async def test_questions_during_a_shared_answer_share_the_next() -> None:
    slow = Slow()
    shared = SingleFlight(slow.ask)
    first = asyncio.create_task(shared("a"))
    await settle()
    second = asyncio.create_task(shared("a"))
    await settle()
    slow.go.set()
    await first
    slow.go.clear()
    await settle()
    third = asyncio.create_task(shared("a"))
    await settle()
    slow.go.set()
    assert [await second, await third] == ["a 2", "a 3"]
