"""gzip of gRPC messages, within a limit of decompressed bytes.

gRPC decompresses a message completely before it checks its length. So the server passes messages on as received
(`CHANNEL_ARGUMENTS`), and they are decompressed here. Their flag is lost on the way, but no other message begins with
gzip's magic number: protobuf would read a field of wire type 7, which does not exist.

Source: gRPC, include/grpc/impl/channel_arg_names.h; RFC 1952.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator

from event_service.errors import InvalidArgument, Overloaded, TooLarge
from event_service.rpc.concurrency_limit import ConcurrencyLimit
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import Handler

CHANNEL_ARGUMENTS = (
    ("grpc.per_message_decompression", 0),
    ("grpc.compression_enabled_algorithms_bitset", 0b101),  # identity and gzip; deflate has no magic number
)
MAGIC = b"\x1f\x8b"

_AT_ONCE_BYTES = 64 * 1024  # decompressed in the event loop: 0.1 ms, less than a thread costs
_WAITING = 32


class Decompressor:
    """Decompresses requests: small ones at once, larger ones one after the other in a thread.

    Args:
        max_bytes: most bytes of a decompressed message.
        limit: counts the messages that wait.
    """

    def __init__(self, max_bytes: int, limit: ConcurrencyLimit) -> None:
        self._max_bytes = max_bytes
        self._limit = limit
        self._thread = asyncio.Lock()
        self._waiting = 0

    def before(self, handler: Handler) -> Handler:
        """Return the handler for compressed requests."""

        async def decompressed(request: bytes, context: RpcContext) -> bytes:
            return await handler(await self.decompress(request), context)

        return decompressed

    async def stream(self, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Return the messages of a stream, decompressed where needed."""
        return (await self.message(request) async for request in requests)

    async def message(self, message: bytes) -> bytes:
        """Return the message, decompressed if needed."""
        return await self.decompress(message) if message.startswith(MAGIC) else message

    async def decompress(self, message: bytes) -> bytes:
        """Return the decompressed message.

        Raises:
            InvalidArgument: it is not one complete gzip member.
            TooLarge: it is larger than `max_bytes`.
            Overloaded: too many messages wait.
        """
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        at_once = min(_AT_ONCE_BYTES, self._max_bytes + 1)
        content = _decompress(stream, message, at_once)
        if not stream.eof and len(content) == at_once <= self._max_bytes:
            content += await self._rest(stream, self._max_bytes + 1 - len(content))
        if len(content) > self._max_bytes:
            raise TooLarge.at("request", f"is larger than {self._max_bytes} bytes after decompression")
        if not stream.eof or stream.unused_data:
            raise InvalidArgument.at("request", "is not one complete gzip member")
        return content

    async def _rest(self, stream: "zlib._Decompress", size: int) -> bytes:
        if self._waiting >= _WAITING:
            raise Overloaded("Too many compressed requests are in flight; send again.", retry_after=0.5)
        held = len(stream.unconsumed_tail)
        self._limit.reserve(held)
        self._waiting += 1
        try:
            async with self._thread:
                return await asyncio.to_thread(_decompress, stream, stream.unconsumed_tail, size)
        finally:
            self._waiting -= 1
            self._limit.release(held)


def _decompress(stream: "zlib._Decompress", message: bytes, size: int) -> bytes:
    try:
        return stream.decompress(message, size)
    except zlib.error:
        raise InvalidArgument.at("request", "is not valid gzip") from None
