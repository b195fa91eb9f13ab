"""Chunks, buffering, limits and timeouts of streamed requests."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from event_service.errors import Overloaded, Unavailable
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


async def test_messages_during_processing_form_next_chunk(sender: Sender) -> None:
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


async def test_fast_sender_paused_until_buffer_drains(sender: Sender) -> None:
    async with RequestStream(aiter(sender), ConcurrencyLimit(1, 1000), read_ahead=10) as requests:
        sender.send(*[b"12345"] * 10)
        assert len(await requests.receive()) <= 2
        await settle()
        assert sender.read <= 4
        taken = 0
        while taken < 8:
            taken += len(await requests.receive())


async def test_message_larger_than_read_ahead_received(sender: Sender) -> None:
    async with RequestStream(aiter(sender), ConcurrencyLimit(1, 1000), read_ahead=10) as requests:
        sender.send(b"x" * 100)
        assert await requests.receive() == [b"x" * 100]


async def test_bytes_counted_until_next_receive(sender: Sender) -> None:
    limit = ConcurrencyLimit(1, 100)
    async with RequestStream(aiter(sender), limit) as requests:
        sender.send(b"x" * 90)
        await requests.receive()
        with pytest.raises(Overloaded):
            limit.reserve(20)
        sender.send(b"y")
        await requests.receive()
        limit.reserve(20)
        limit.release(20)
    assert limit.in_flight == 0
    limit.reserve(100)


async def test_stream_over_byte_limit_refused(sender: Sender) -> None:
    limit = ConcurrencyLimit(1, 100)
    limit.reserve(90)
    async with RequestStream(aiter(sender), limit) as requests:
        sender.send(b"x" * 20)
        with pytest.raises(Overloaded) as caught:
            await requests.receive()
        assert caught.value.retry_after


async def test_stop_ends_wait_but_delivers_buffered_messages(sender: Sender) -> None:
    limit = ConcurrencyLimit(1, 100)
    async with RequestStream(aiter(sender), limit) as requests:
        waiting = asyncio.ensure_future(requests.receive())
        await settle()
        await limit.drain(1)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(waiting, 1)


async def test_idle_timeout_ends_stream(sender: Sender) -> None:
    async with RequestStream(aiter(sender), ConcurrencyLimit(1, 100), idle_timeout=0.05) as requests:
        with pytest.raises(Unavailable, match="open a new stream"):
            await requests.receive()


async def test_broken_connection_raised(sender: Sender) -> None:
    async with RequestStream(aiter(sender), ConcurrencyLimit(1, 100)) as requests:
        sender.send(ConnectionError("cable"))
        with pytest.raises(ConnectionError):
            await requests.receive()


async def test_nothing_read_after_end_of_call(sender: Sender) -> None:
    limit = ConcurrencyLimit(1, 100)
    async with RequestStream(aiter(sender), limit) as requests:
        sender.send(b"a")
        await requests.receive()
    sender.send(b"b")
    await settle()
    assert sender.read == 1
    await limit.drain(0)


def test_unary_call_has_no_request_stream() -> None:
    with pytest.raises(TypeError, match="/s/m does not stream"):
        _ = RpcContext("/s/m", {}).request_stream
