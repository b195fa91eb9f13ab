"""Answer concurrent look-ups together: those that arrive during a read share the next one.

No timer and no cache: an idle store is read immediately, and every answer was read after its question arrived.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from event_service.concurrency.thread_pool import ThreadPool
from event_service.errors import EventServiceError

Key = TypeVar("Key", bound=Hashable)
Question = TypeVar("Question")
Answer = TypeVar("Answer")


class BatchedLookup(Generic[Key, Question, Answer]):
    """Look-ups combined by key: one call of `ask` at a time for each key.

    Args:
        threads: where `ask` runs.
        share_of: key -> whose share of the threads the call takes.
        ask: (key, questions) -> an answer for each question, in order. Blocking.
    """

    def __init__(
        self,
        threads: ThreadPool,
        ask: Callable[[Key, Sequence[Question]], Sequence[Answer]],
        share_of: Callable[[Key], Hashable] = lambda _: "",
    ) -> None:
        self._threads = threads
        self._share_of = share_of
        self._ask = ask
        # Each key with a call in flight has an entry: the questions for its next call.
        self._waiting: dict[Key, list[tuple[Question, asyncio.Future[Answer]]]] = {}

    def submit(self, key: Key, question: Question) -> "asyncio.Future[Answer]":
        """Queue a question; await the answer.

        Raises:
            EventServiceError: what `ask` raised, or what `ThreadPool.run` refuses with.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append((question, future))
        else:
            self._start(key, [(question, future)])
        return future

    def _start(self, key: Key, batch: list[tuple[Question, "asyncio.Future[Answer]"]]) -> None:
        call = self._threads.run_for(self._share_of(key), self._ask, key, [question for question, _ in batch])
        self._waiting[key] = []
        call.add_done_callback(lambda done: self._deliver(key, batch, done))

    def _deliver(
        self,
        key: Key,
        batch: list[tuple[Question, "asyncio.Future[Answer]"]],
        done: "asyncio.Future[Sequence[Answer]]",
    ) -> None:
        following = [(question, future) for question, future in self._waiting.pop(key) if not future.done()]
        if following:
            try:
                self._start(key, following)
            except Exception as error:  # the thread pool refuses
                _fail(following, error)
        failure = done.exception()
        if failure is not None:
            _fail(batch, failure)
            return
        for (_, future), answer in zip(batch, done.result(), strict=True):
            if not future.done():
                future.set_result(answer)


def _fail(batch: Sequence[tuple[Question, "asyncio.Future[Answer]"]], error: BaseException) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error.again() if isinstance(error, EventServiceError) else error)
