"""Waiting for what happens elsewhere: in another thread, task or process."""

import asyncio
import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], object], seconds: float = 20, explain: Callable[[], object] = lambda: "not in time"
) -> None:
    """Return once the condition holds; fail with the explanation after a timeout."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.02)


async def until(condition: Callable[[], object], seconds: float = 20) -> float:
    """Return the same beside other tasks. Returns the seconds it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "not in time"
        await asyncio.sleep(0.01)
    return time.monotonic() - started
