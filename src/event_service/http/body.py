"""Reading request bodies within limits: how large one may be, how long it may take, what all hold until answered."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from event_service.errors import InvalidArgument, Overloaded, RequestTimeout, TooLarge

# A client reads our answer only when it has sent its body: so much over the limit is read and thrown away for its sake.
DRAINED_BYTES = 64 * 1024 * 1024

RETRY_AFTER_SECONDS = 1.0

_PIECE_BYTES = 4096


class BodyReader:
    """Reads bodies for all routes of one server.

    Args:
        seconds: how long a body may take to arrive.
        memory_bytes: what the bodies that arrive or wait for their answer may hold together.
    """

    def __init__(self, *, seconds: float, memory_bytes: int) -> None:
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """The content of a body, unpacked if it came compressed. Its bytes count as held until the context is left.

        Args:
            limit: bytes, on the wire and unpacked.

        Raises:
            InvalidArgument, TooLarge: as `decompressed`.
            TooLarge, RequestTimeout, Overloaded, ClientDisconnect: as `read_wire`.
        """
        async with self.read_wire(request, limit) as wire:
            content = await decompressed(wire, request.headers.get("content-encoding", ""), limit)
            more = len(content) - len(wire)
            try:
                self._hold(more)
                yield content
            finally:
                self._held -= more

    @asynccontextmanager
    async def read_wire(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """The body as it was on the wire, held as long.

        Args:
            limit: bytes.

        Raises:
            TooLarge: it is larger than `limit`.
            RequestTimeout: it did not arrive in time.
            Overloaded: too many bodies are under way at once.
            ClientDisconnect: nobody waits for an answer any more.
        """
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            waits_for_us = request.headers.get("expect", "").lower() == "100-continue"
            if waits_for_us or int(declared) > limit + DRAINED_BYTES:
                raise _too_large(limit)
        chunks: list[bytes] = []
        size = held = 0
        try:
            try:
                async with asyncio.timeout(self._seconds):
                    async for chunk in request.stream():
                        size += len(chunk)
                        if size <= limit:
                            chunks.append(chunk)
                            held += len(chunk)
                            self._hold(len(chunk))
                        else:
                            chunks.clear()
                            if size > limit + DRAINED_BYTES:
                                break
            except TimeoutError:
                raise RequestTimeout(f"The body did not arrive within {self._seconds:g} s.") from None
            if size > limit:
                raise _too_large(limit)
            body = b"".join(chunks)
            chunks.clear()
            yield body
        finally:
            self._held -= held

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > self._memory_bytes:
            raise Overloaded("Too many large requests are under way; send again.", retry_after=RETRY_AFTER_SECONDS)


async def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """The content of a compressed body; no more of it is unpacked than `limit` bytes, and in a thread.

    Args:
        encoding: the Content-Encoding header, "" for none.

    Raises:
        InvalidArgument: the encoding is none of gzip, deflate and identity, or the body is not in it.
        TooLarge: the content is larger than `limit`.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ("gzip", "x-gzip", "deflate"):
        raise InvalidArgument.at("content-encoding", f"must be gzip or deflate, not {name[:40]!r}")
    try:
        content, is_whole = await asyncio.to_thread(_unpacked, body, limit + 1)
    except zlib.error:
        raise InvalidArgument.at("body", f"is not {name}, as content-encoding says") from None
    if len(content) > limit:
        raise _too_large(limit)
    if not is_whole:
        raise InvalidArgument.at("body", f"ends in the middle of its {name} stream")
    return content


def _unpacked(body: bytes, most: int) -> tuple[bytes, bool]:
    """At most so many bytes of what was compressed, and whether its end was reached.

    Several members are one content (RFC 1952, 2.2). Zeros behind the last are padding, as they are to gunzip.

    Raises:
        zlib.error: it is not compressed, or something else follows.
    """
    content = bytearray()
    position, unpacker = 0, _unpacker()
    while position < len(body) and len(content) < most:
        if unpacker.eof:
            if not body[position] and not any(body[position:]):
                break
            unpacker = _unpacker()
        # By pieces: what is left behind a member is copied, which for many small ones would be all of it every time.
        piece = body[position : position + _PIECE_BYTES]
        content += unpacker.decompress(piece, most - len(content))
        position += len(piece) - len(unpacker.unused_data)
    return bytes(content), unpacker.eof


def _unpacker() -> "zlib._Decompress":
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit} bytes.")
