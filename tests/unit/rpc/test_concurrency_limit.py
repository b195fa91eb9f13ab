"""Limits of calls and bytes in flight, and draining at a stop."""

import asyncio
import time

import pytest

from event_service.errors import Overloaded, Unavailable
from event_service.rpc.concurrency_limit import ConcurrencyLimit
from event_service.rpc.context import RpcContext
from tests.unit.rpc.serving import echo


class Gate:
    """A handler that returns once it is released."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def __call__(self, request: bytes, context: RpcContext) -> bytes:
        await self.opened.wait()
        return request


def start(limit: ConcurrencyLimit, gate: Gate, request: bytes = b"") -> asyncio.Task[bytes]:
    return asyncio.ensure_future(limit(request, RpcContext("/s/m", {}), gate))


async def test_calls_over_limit_refused_with_retry_after() -> None:
    limit, gate = ConcurrencyLimit(2, 100), Gate()
    let_in = [start(limit, gate) for _ in range(2)]
    await asyncio.sleep(0)
    assert limit.in_flight == 2
    with pytest.raises(Overloaded) as caught:
        await limit(b"", RpcContext("/s/m", {}), echo)
    assert caught.value.retry_after
    gate.opened.set()
    await asyncio.gather(*let_in)
    assert limit.in_flight == 0
    assert await limit(b"a", RpcContext("/s/m", {}), echo) == b"a"


async def test_bytes_over_limit_refused_except_single_request() -> None:
    limit, gate = ConcurrencyLimit(10, 100), Gate()
    large = start(limit, gate, b"x" * 1000)
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await limit(b"x", RpcContext("/s/m", {}), echo)
    gate.opened.set()
    await large
    assert await limit(b"x", RpcContext("/s/m", {}), echo) == b"x"


async def test_failed_and_cancelled_calls_released() -> None:
    async def fail(request: bytes, context: RpcContext) -> bytes:
        raise ZeroDivisionError

    limit, gate = ConcurrencyLimit(1, 1), Gate()
    for _ in range(100):
        with pytest.raises(ZeroDivisionError):
            await limit(b"xx", RpcContext("/s/m", {}), fail)
        cancelled = start(limit, gate, b"xx")
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
    assert limit.in_flight == 0
    assert await limit(b"x", RpcContext("/s/m", {}), echo) == b"x"


async def test_drain_waits_for_calls_and_refuses_new_ones() -> None:
    limit, gate = ConcurrencyLimit(10, 100), Gate()
    in_flight = start(limit, gate, b"a")
    await asyncio.sleep(0)
    drained = asyncio.ensure_future(limit.drain(10))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as caught:
        await limit(b"", RpcContext("/s/m", {}), echo)
    assert caught.value.retry_after
    assert not drained.done()
    gate.opened.set()
    assert await in_flight == b"a"
    assert await drained == 0


async def test_drain_without_calls_returns_immediately() -> None:
    assert await asyncio.wait_for(ConcurrencyLimit(1, 1).drain(60), 30) == 0


async def test_calls_beyond_grace_unavailable() -> None:
    limit, gate = ConcurrencyLimit(10, 100), Gate()
    left = [start(limit, gate) for _ in range(3)]
    await asyncio.sleep(0)
    assert await limit.drain(0.01) == 3
    for task in left:
        with pytest.raises(Unavailable):
            await task
    assert limit.in_flight == 0


async def test_last_call_ends_at_drain_timeout() -> None:
    limit, gate = ConcurrencyLimit(10, 100), Gate()
    last = start(limit, gate, b"a")
    await asyncio.sleep(0)

    def end_late() -> None:
        time.sleep(0.1)  # whereupon the time is over, too
        gate.opened.set()

    asyncio.get_running_loop().call_later(0.01, end_late)
    assert await limit.drain(0.05) == 0
    assert await last == b"a"
