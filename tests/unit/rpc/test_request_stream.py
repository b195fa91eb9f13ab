"""What a stream has sent is taken in lots, within bounds, and not waited for in vain."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from event_service.errors import DeadlineExceeded, Overloaded, Unavailable
from event_service.rpc.concurrency_limit import ConcurrencyLimit
from event_service.rpc.context import RpcContext
from event_service.rpc.request_stream import RequestStream


class Sender:
    """The other end of a stream: `send`, then `end`; None in the queue is the end."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.read = 0

    def send(self, *messages: bytes | Exception) -> None:
        for message in messages:
            self._queue.put_nowait(message)

    def end(self) -> None:
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self._queue.get()) is not None:
            if isinstance(message, Exception):
                raise message
            self.read += 1
            yield message


async def settle() -> None:
    """Lets every task run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def sender() -> Sender:
    return Sender()


async def test_what_arrives_meanwhile_is_the_next_lot(sender: Sender) -> None:
    async with RequestStream(aiter(sender), ConcurrencyLimit(1, 1000)) as requests:
        sender.send(b"a")
        assert await requests.receive() == [b"a"]
        sender.send(b"b", b"c")
        await settle()
        sender.send(b"d")
        await settle()
        assert await requests.receive() == [b"b", b"c", b"d"]
        sender.send(b"e")
        sender.end()
        await settle()
        assert await requests.receive() == [b"e"]
        assert await requests.receive() == []
        assert await requests.receive() == []


async def test_a_sender_that_is_faster_is_not_read_until_there_is_room(sender: Sender) -> None:
    async with RequestStream(aiter(sender), ConcurrencyLimit(1, 1000), read_ahead=10) as requests:
        sender.send(*[b"12345"] * 10)
        assert len(await requests.receive()) <= 2
        await settle()
        assert sender.read <= 4
        taken = 0
        while taken < 8:
            taken += len(await requests.receive())


async def test_one_message_may_be_larger_than_what_is_read_ahead(sender: Sender) -> None:
    async with RequestStream(aiter(sender), ConcurrencyLimit(1, 1000), read_ahead=10) as requests:
        sender.send(b"x" * 100)
        assert await requests.receive() == [b"x" * 100]


async def test_bytes_count_until_the_next_lot_is_asked_for(sender: Sender) -> None:
    admission = ConcurrencyLimit(1, 100)
    async with RequestStream(aiter(sender), admission) as requests:
        sender.send(b"x" * 90)
        await requests.receive()
        with pytest.raises(Overloaded):
            admission.reserve(20)
        sender.send(b"y")
        await requests.receive()
        admission.reserve(20)
        admission.release(20)
    assert admission.in_flight == 0
    admission.reserve(100)


async def test_a_stream_that_finds_no_room_is_refused(sender: Sender) -> None:
    admission = ConcurrencyLimit(1, 100)
    admission.reserve(90)
    async with RequestStream(aiter(sender), admission) as requests:
        sender.send(b"x" * 20)
        with pytest.raises(Overloaded) as caught:
            await requests.receive()
        assert caught.value.retry_after


async def test_a_stop_ends_the_waiting_but_leaves_what_has_arrived(sender: Sender) -> None:
    admission = ConcurrencyLimit(1, 100)
    async with RequestStream(aiter(sender), admission) as requests:
        waiting = asyncio.ensure_future(requests.receive())
        await settle()
        await admission.drain(1)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(waiting, 1)


async def test_silence_is_not_waited_for_for_ever(sender: Sender) -> None:
    async with RequestStream(aiter(sender), ConcurrencyLimit(1, 100), idle_timeout=0.05) as requests:
        with pytest.raises(DeadlineExceeded):
            await requests.receive()


async def test_a_connection_that_breaks_is_told(sender: Sender) -> None:
    async with RequestStream(aiter(sender), ConcurrencyLimit(1, 100)) as requests:
        sender.send(ConnectionError("cable"))
        with pytest.raises(ConnectionError):
            await requests.receive()


async def test_nothing_is_read_after_the_end_of_the_call(sender: Sender) -> None:
    admission = ConcurrencyLimit(1, 100)
    async with RequestStream(aiter(sender), admission) as requests:
        sender.send(b"a")
        await requests.receive()
    sender.send(b"b")
    await settle()
    assert sender.read == 1
    await admission.drain(0)


def test_other_calls_have_none() -> None:
    with pytest.raises(TypeError, match="/s/m does not stream"):
        _ = RpcContext("/s/m", {}).request_stream
