"""What a client-streaming call has sent: taken in lots, each of them what has arrived while the last was worked on."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from event_service.errors import DeadlineExceeded, Unavailable
from event_service.rpc.concurrency_limit import STOPPING, Admission

READ_AHEAD_BYTES = 256 * 1024
"""What one call may have waiting. Beyond it nothing is read, and HTTP/2 slows the sender down."""

SILENCE_SECONDS = 60.0
"""A sender that says nothing for longer, not even that it has ended, is given up: it holds the place of a call."""


class RequestStream:
    """The messages of one call. `async with` it; what was not taken is dropped at the end.

    Args:
        messages: as they come in; ends when the sender has sent its last.
        admission: counts their bytes from their arrival until the lot they were taken in is done with.
    """

    def __init__(
        self,
        messages: AsyncIterator[bytes],
        admission: Admission,
        *,
        read_ahead: int = READ_AHEAD_BYTES,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._messages = messages
        self._admission = admission
        self._read_ahead = read_ahead
        self._silence = silence
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._taken_bytes = 0
        self._ended = False
        self._failure: BaseException | None = None
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def take(self) -> list[bytes]:
        """What has arrived since the last time, at least one message; [] once the sender has ended.

        Raises:
            Overloaded: too many bytes are under way in all calls.
            Unavailable: the server is stopping.
            DeadlineExceeded: nothing has come for `silence` seconds.
        """
        self._admission.release(self._taken_bytes)
        self._taken_bytes = 0
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
            self._admission.listen(self._news.set)
        while not self._waiting:
            if self._admission.stopping:
                raise Unavailable(STOPPING)
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return []
            self._news.clear()
            try:
                async with asyncio.timeout(self._silence):
                    await self._news.wait()
            except TimeoutError:
                raise DeadlineExceeded(f"Nothing was sent for {self._silence:g} s.") from None
        taken, self._waiting = self._waiting, []
        self._taken_bytes, self._waiting_bytes = self._waiting_bytes, 0
        self._room.set()
        return taken

    async def _read(self) -> None:
        try:
            async for message in self._messages:
                self._admission.hold(len(message))
                self._waiting.append(message)
                self._waiting_bytes += len(message)
                self._news.set()
                while self._waiting_bytes >= self._read_ahead:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:  # whatever it is, it belongs to the call
            self._failure = error
        self._ended = True
        self._news.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.ignore(self._news.set)
        self._admission.release(self._taken_bytes + self._waiting_bytes)
        self._taken_bytes = self._waiting_bytes = 0
        self._waiting.clear()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
