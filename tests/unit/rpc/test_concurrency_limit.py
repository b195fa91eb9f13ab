"""What is too much is refused at once, and a stop leaves nobody without an answer."""

import asyncio
import time

import pytest

from event_service.errors import Overloaded, Unavailable
from event_service.rpc.concurrency_limit import ConcurrencyLimit
from event_service.rpc.context import RpcContext
from tests.unit.rpc.serving import echo


class Gate:
    """A handler that answers when it is told to."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def __call__(self, request: bytes, context: RpcContext) -> bytes:
        await self.opened.wait()
        return request


def start(admission: ConcurrencyLimit, gate: Gate, request: bytes = b"") -> asyncio.Task[bytes]:
    return asyncio.ensure_future(admission(request, RpcContext("/s/m", {}), gate))


async def test_calls_over_the_bound_are_refused_with_a_time() -> None:
    admission, gate = ConcurrencyLimit(2, 100), Gate()
    let_in = [start(admission, gate) for _ in range(2)]
    await asyncio.sleep(0)
    assert admission.in_flight == 2
    with pytest.raises(Overloaded) as caught:
        await admission(b"", RpcContext("/s/m", {}), echo)
    assert caught.value.retry_after
    gate.opened.set()
    await asyncio.gather(*let_in)
    assert admission.in_flight == 0
    assert await admission(b"a", RpcContext("/s/m", {}), echo) == b"a"


async def test_bytes_over_the_bound_are_refused_but_for_one_alone() -> None:
    admission, gate = ConcurrencyLimit(10, 100), Gate()
    large = start(admission, gate, b"x" * 1000)
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await admission(b"x", RpcContext("/s/m", {}), echo)
    gate.opened.set()
    await large
    assert await admission(b"x", RpcContext("/s/m", {}), echo) == b"x"


async def test_failed_and_cancelled_calls_leave_their_place() -> None:
    async def fail(request: bytes, context: RpcContext) -> bytes:
        raise ZeroDivisionError

    admission, gate = ConcurrencyLimit(1, 1), Gate()
    for _ in range(100):
        with pytest.raises(ZeroDivisionError):
            await admission(b"xx", RpcContext("/s/m", {}), fail)
        cancelled = start(admission, gate, b"xx")
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
    assert admission.in_flight == 0
    assert await admission(b"x", RpcContext("/s/m", {}), echo) == b"x"


async def test_a_stop_waits_for_what_is_under_way_and_refuses_what_comes() -> None:
    admission, gate = ConcurrencyLimit(10, 100), Gate()
    in_flight = start(admission, gate, b"a")
    await asyncio.sleep(0)
    drained = asyncio.ensure_future(admission.drain(10))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as caught:
        await admission(b"", RpcContext("/s/m", {}), echo)
    assert caught.value.retry_after
    assert not drained.done()
    gate.opened.set()
    assert await in_flight == b"a"
    assert await drained == 0


async def test_a_stop_with_nothing_under_way_is_at_once() -> None:
    assert await asyncio.wait_for(ConcurrencyLimit(1, 1).drain(60), 30) == 0


async def test_what_outlasts_the_grace_is_answered_unavailable() -> None:
    admission, gate = ConcurrencyLimit(10, 100), Gate()
    left = [start(admission, gate) for _ in range(3)]
    await asyncio.sleep(0)
    assert await admission.drain(0.01) == 3
    for task in left:
        with pytest.raises(Unavailable):
            await task
    assert admission.in_flight == 0


async def test_the_last_call_may_end_together_with_the_time() -> None:
    admission, gate = ConcurrencyLimit(10, 100), Gate()
    last = start(admission, gate, b"a")
    await asyncio.sleep(0)

    def end_late() -> None:
        time.sleep(0.1)  # whereupon the time is over, too
        gate.opened.set()

    asyncio.get_running_loop().call_later(0.01, end_late)
    assert await admission.drain(0.05) == 0
    assert await last == b"a"
