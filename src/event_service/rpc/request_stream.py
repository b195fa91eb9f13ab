"""The messages of a client-streaming call, received in chunks: all that arrived while the last chunk was processed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self

from event_service.errors import Unavailable
from event_service.rpc.concurrency_limit import STOPPING, ConcurrencyLimit

READ_AHEAD_BYTES = 256 * 1024
"""Bytes that one call may have buffered. Beyond it nothing is read, and HTTP/2 flow control slows the sender down."""

IDLE_TIMEOUT_SECONDS = 60.0
"""Time without a message after which a stream ends: an idle sender occupies a call."""


class RequestStream:
    """The messages of one call. An async context manager; messages not received are dropped at its end.

    Args:
        messages: the incoming messages; ends when the client half-closes.
        limit: counts the bytes of a message from its arrival until the chunk after its own is requested.
        decompress: applied to each message; None = not at all.
        read_ahead: bytes buffered at most.
        idle_timeout: seconds.
    """

    def __init__(
        self,
        messages: AsyncIterator[bytes],
        limit: ConcurrencyLimit,
        *,
        decompress: Callable[[bytes], Awaitable[bytes]] | None = None,
        read_ahead: int = READ_AHEAD_BYTES,
        idle_timeout: float = IDLE_TIMEOUT_SECONDS,
    ) -> None:
        self._messages = messages
        self._limit = limit
        self._decompress = decompress
        self._read_ahead = read_ahead
        self._idle_timeout = idle_timeout
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        self._received_bytes = 0
        self._ended = False
        self._failure: BaseException | None = None
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def receive(self) -> list[bytes]:
        """Return the messages since the last chunk, at least one; [] after the client has half-closed.

        Raises:
            Overloaded: the bytes of all calls in flight exceed the limit.
            Unavailable: the server is stopping, or no message arrived for `idle_timeout` seconds.
        """
        self._limit.release(self._received_bytes)
        self._received_bytes = 0
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
            self._limit.add_stop_listener(self._wake.set)
        while not self._buffer:
            if self._limit.stopping:
                raise Unavailable(STOPPING)
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return []
            self._wake.clear()
            try:
                async with asyncio.timeout(self._idle_timeout):
                    await self._wake.wait()
            except TimeoutError:
                raise Unavailable(f"No message arrived for {self._idle_timeout:g} s; open a new stream.") from None
        chunk, self._buffer = self._buffer, []
        self._received_bytes, self._buffered_bytes = self._buffered_bytes, 0
        self._room.set()
        return chunk

    async def _read(self) -> None:
        try:
            async for received in self._messages:
                message = received if self._decompress is None else await self._decompress(received)
                self._limit.reserve(len(message))
                self._buffer.append(message)
                self._buffered_bytes += len(message)
                self._wake.set()
                while self._buffered_bytes >= self._read_ahead:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:  # raised by `receive`, in the call's own task
            self._failure = error
        self._ended = True
        self._wake.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limit.remove_stop_listener(self._wake.set)
        self._limit.release(self._received_bytes + self._buffered_bytes)
        self._received_bytes = self._buffered_bytes = 0
        self._buffer.clear()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
