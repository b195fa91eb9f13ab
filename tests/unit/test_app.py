"""Background tasks of the composition root."""

import asyncio
import logging
from datetime import datetime

import pytest

from event_service.app import recover_periodically
from event_service.concurrency.thread_pool import ThreadPool
from event_service.errors import Unavailable


async def test_recovery_continues_after_any_failure(caplog: pytest.LogCaptureFixture) -> None:
    outcomes: list[int | Exception] = [KeyError("row"), Unavailable(), 2]
    threads = ThreadPool(1)
    finished = asyncio.Event()
    loop = asyncio.get_running_loop()

    def recover(now: datetime) -> int:
        assert now.tzinfo is not None
        if not outcomes:
            loop.call_soon_threadsafe(finished.set)
            return 0
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with caplog.at_level(logging.INFO):
        task = asyncio.create_task(recover_periodically(recover, threads, 0))
        await asyncio.wait({task, asyncio.ensure_future(finished.wait())}, return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    threads.close()
    assert finished.is_set()
    assert task.cancelled()
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.INFO, logging.WARNING]
    assert "KeyError: 'row'" in caplog.text
