"""Calls that ask the same while one of them is being answered share the next answer.

Dashboards ask the same list again and again, many at a time. Nothing is cached: every answer was begun after its
question came in. What is shared is all there is to an answer: decoding, checking, reading, encoding.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from event_service.errors import EventServiceError

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")


class SingleFlight(Generic[Question, Answer]):
    """Asks each question once at a time. For one event loop.

    Args:
        ask: answers a question, which must hold everything the answer depends on, who asks included.
    """

    def __init__(self, ask: Callable[[Question], Awaitable[Answer]]) -> None:
        self._ask = ask
        # For each question that is being answered, who waits for it to be asked once more.
        self._waiting: dict[Question, list[asyncio.Future[Answer]]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    async def __call__(self, question: Question) -> Answer:
        """The answer, or what `ask` raised. Giving up takes nothing from the others who ask the same."""
        waiting = self._waiting.get(question)
        if waiting is not None:
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            waiting.append(future)
            return await future
        self._waiting[question] = []
        try:
            return await self._ask(question)
        finally:
            self._go_on(question)

    def _go_on(self, question: Question) -> None:
        following = [future for future in self._waiting.pop(question) if not future.done()]
        if following:
            self._waiting[question] = []
            task = asyncio.create_task(self._answer(question, following))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, question: Question, following: list["asyncio.Future[Answer]"]) -> None:
        try:
            answer = await self._ask(question)
        except asyncio.CancelledError:  # the event loop is closing
            for future in following:
                future.cancel()
            raise
        except Exception as error:  # whatever it is, it belongs to those who asked
            for future in following:
                if not future.done():
                    future.set_exception(error.again() if isinstance(error, EventServiceError) else error)
        else:
            for future in following:
                if not future.done():
                    future.set_result(answer)
        finally:
            self._go_on(question)
