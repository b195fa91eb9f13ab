"""Answer equal concurrent questions together: those that arrive during an answer share the next one.

Many dashboards send the same list request at the same time. Nothing is cached: every answer was started after its
question arrived. All work is shared: decoding, validation, reading and encoding.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from event_service.errors import EventServiceError

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")


class SingleFlight(Generic[Question, Answer]):
    """Calls of one event loop, each question answered once at a time.

    Args:
        ask: answers a question. The question must hold everything the answer depends on, the caller included.
    """

    def __init__(self, ask: Callable[[Question], Awaitable[Answer]]) -> None:
        self._ask = ask
        # Each question in flight has an entry: the callers that wait for its next answer.
        self._waiting: dict[Question, list[asyncio.Future[Answer]]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    async def __call__(self, question: Question) -> Answer:
        """Return the answer, or raise the error of `ask`. Cancelling one caller does not affect the others."""
        waiting = self._waiting.get(question)
        if waiting is not None:
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            waiting.append(future)
            return await future
        self._waiting[question] = []
        try:
            return await self._ask(question)
        finally:
            self._start_next(question)

    def _start_next(self, question: Question) -> None:
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
        except Exception as error:  # it belongs to the callers
            for future in following:
                if not future.done():
                    future.set_exception(error.again() if isinstance(error, EventServiceError) else error)
        else:
            for future in following:
                if not future.done():
                    future.set_result(answer)
        finally:
            self._start_next(question)
