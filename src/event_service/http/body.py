"""Request bodies, limited in size, time, and in the memory of all that are not answered yet."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from event_service.errors import InvalidArgument, Overloaded, RequestTimeout, TooLarge

# Many clients read the response only after they have sent the body, so this much over the limit is discarded.
DRAINED_BYTES = 64 * 1024 * 1024

RETRY_AFTER_SECONDS = 1.0

_PIECE_BYTES = 4096

_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})
_REFUSED = frozenset({"br", "zstd", "compress", "x-compress", "dcb", "dcz", "bzip2", "xz", "lz4", "snappy", "exi"})
# 32: detect either by the header.
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


class BodyReader:
    """The reader of all request bodies of one server.

    Args:
        seconds: most seconds a body may take to arrive.
        memory_bytes: most bytes of all bodies that arrive or wait for their response.
    """

    def __init__(self, *, seconds: float, memory_bytes: int) -> None:
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """Yield the decompressed body. It counts towards `memory_bytes` until the context is left.

        Args:
            limit: most bytes, compressed and decompressed.

        Raises:
            InvalidArgument, TooLarge: see `decompressed`.
            TooLarge, RequestTimeout, Overloaded, ClientDisconnect: see `read_wire`.
        """
        async with self.read_wire(request, limit) as wire:
            content = await decompressed(wire, request.headers.get("content-encoding", ""), limit)
            more = len(content) - len(wire)
            try:
                # Inside `try`, because it counts the bytes before it raises.
                self._hold(more)
                yield content
            finally:
                self._held -= more

    @asynccontextmanager
    async def read_wire(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """Yield the body as received. It counts towards `memory_bytes` until the context is left.

        Args:
            limit: most bytes.

        Raises:
            TooLarge: the body is larger than `limit`.
            RequestTimeout: it did not arrive in time.
            Overloaded: the bodies in flight exceed `memory_bytes`.
            ClientDisconnect: the client closed the connection.
        """
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            expects_continue = request.headers.get("expect", "").lower() == "100-continue"
            if expects_continue or int(declared) > limit + DRAINED_BYTES:
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
            raise Overloaded("Too many large requests are in flight; send again.", retry_after=RETRY_AFTER_SECONDS)


async def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """Decompress a body in a thread, at most `limit` bytes of it.

    Args:
        encoding: the Content-Encoding header, "" for none.

    Raises:
        InvalidArgument: the encoding is another compression than gzip and deflate, or the body does not match it.
        TooLarge: the decompressed body is larger than `limit`.
    """
    name = encoding.strip().lower()
    if name in _REFUSED:
        raise InvalidArgument.at("content-encoding", f"must be gzip or deflate, not {name!r}")
    if name not in _COMPRESSED:
        # `identity`, or what is no content coding at all: some senders put `utf-8` here.
        return body
    try:
        content, is_whole = await asyncio.to_thread(_decompress, body, limit + 1, name == "deflate")
    except zlib.error:
        raise InvalidArgument.at("body", f"is not valid {name}, which content-encoding declares") from None
    if len(content) > limit:
        raise _too_large(limit)
    if not is_whole:
        raise InvalidArgument.at("body", f"is an incomplete {name} stream")
    return content


def _decompress(body: bytes, limit: int, is_deflate: bool) -> tuple[bytes, bool]:
    """Return at most `limit` decompressed bytes, and True if the stream is complete.

    Several members are one content (RFC 1952, 2.2). Zeros after the last are padding, as gunzip treats them.

    Raises:
        zlib.error: the body is not compressed, or other bytes follow.
    """
    content = bytearray()
    position, stream = 0, _new_stream(body if is_deflate else b"")
    while position < len(body) and len(content) < limit:
        if stream.eof:
            if not body[position] and not any(body[position:]):
                break
            stream = zlib.decompressobj(_GZIP_OR_ZLIB)
        # In pieces: zlib copies everything after a member, so many small members would cost quadratic time.
        piece = body[position : position + _PIECE_BYTES]
        content += stream.decompress(piece, limit - len(content))
        position += len(piece) - len(stream.unused_data)
    return bytes(content), stream.eof


def _new_stream(body: bytes) -> "zlib._Decompress":
    try:
        zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body[:2])
    except zlib.error:
        # Many senders' deflate has no zlib header, RFC 9110, 8.4.1.2.
        return zlib.decompressobj(-zlib.MAX_WBITS)
    return zlib.decompressobj(_GZIP_OR_ZLIB)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit} bytes.")
