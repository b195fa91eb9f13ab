"""A gRPC client for load alone: HTTP/2 frames written by hand, cheaper than any library, every reply's status read.

A grpcio client costs more than the server it measures, and h2load neither varies bodies nor looks at grpc-status.
This one sends unary calls over a few connections, each with a number of streams under way, and does the least a
client must: header compression as real clients use it (each header is sent once and then named by its index), flow
control, ping and settings acknowledgements. RFC 9113 and RFC 7541.
"""

import asyncio
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FIRST_WINDOW = 65_535
_LARGEST_FRAME = 16_384
_WINDOW = 2**31 - 1
_STATIC_TABLE_LENGTH = 61
_POST, _SCHEME_HTTP = 0x83, 0x86  # entries 3 and 6 of the static table, whole
_AUTHORITY, _PATH, _CONTENT_TYPE = 1, 4, 31  # names in the static table
# Our settings tell the server to compress without a memory, so the trailer that says OK is always these bytes.
_STATUS_OK = b"grpc-status\x010"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one HTTP/2 frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _data(stream: int, body: bytes) -> bytes:
    """A body in as few frames as hold it; the last one ends the request."""
    cuts = range(0, len(body), _LARGEST_FRAME)
    last = cuts[-1] if cuts else 0
    return b"".join(
        frame(_DATA, _END_STREAM if cut == last else 0, stream, body[cut : cut + _LARGEST_FRAME]) for cut in cuts
    )


def message_frame(message: bytes) -> bytes:
    """A serialised message with gRPC's five-byte prefix, not compressed."""
    return b"\0" + struct.pack(">I", len(message)) + message


def _integer(value: int, prefix_bits: int, first: int) -> bytes:
    """RFC 7541 section 5.1."""
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([first | value])
    rest, value = [first | most], value - most
    while value >= 128:
        rest.append(value % 128 + 128)
        value //= 128
    return bytes([*rest, value])


def _text(value: str) -> bytes:
    data = value.encode()
    return _integer(len(data), 7, 0) + data


def header_blocks(authority: str, path: str, metadata: Mapping[str, str]) -> tuple[bytes, bytes]:
    """Return the header block of a connection's first request, which fills the server's table, and of all others."""
    named = [(_AUTHORITY, "", authority), (_PATH, "", path), (_CONTENT_TYPE, "", "application/grpc")]
    named += [(0, "te", "trailers"), *((0, name, value) for name, value in metadata.items())]
    first = bytes([_POST, _SCHEME_HTTP])
    for index, name, value in named:
        first += _integer(index, 6, 0x40) + (b"" if index else _text(name)) + _text(value)
    # The newest entry of the table has the lowest index.
    indexes = range(_STATIC_TABLE_LENGTH + len(named), _STATIC_TABLE_LENGTH, -1)
    return first, bytes([_POST, _SCHEME_HTTP]) + b"".join(_integer(index, 7, 0x80) for index in indexes)


@dataclass(slots=True)
class _Call:
    began: float
    ok: bool = False
    received: int = 0


@dataclass(slots=True)
class Tally:
    """Result of a load. Latencies in seconds; `failed` holds the first trailers of calls that were not OK."""

    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    bytes_received: int = 0
    failed: list[bytes] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """One connection; `done` is called after each reply, with the connection."""

    def __init__(self, blocks: tuple[bytes, bytes], tally: Tally, done: Callable[["Connection"], None]) -> None:
        self._first_block, self._block = blocks
        self._tally = tally
        self._done = done
        self._stream = 1
        self._calls: dict[int, _Call] = {}
        self._buffer = b""
        self._window = _FIRST_WINDOW
        self._waiting: list[tuple[int, bytes]] = []
        self._unacknowledged = 0
        self._transport: asyncio.Transport
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # Header table 0 (see _STATUS_OK), no push, windows as large as they go.
        settings = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, _WINDOW)
        widen = struct.pack(">I", _WINDOW - _FIRST_WINDOW)
        transport.write(_PREFACE + frame(_SETTINGS, 0, 0, settings) + frame(_WINDOW_UPDATE, 0, 0, widen))

    def connection_lost(self, error: Exception | None) -> None:
        for call in self._calls.values():
            self._finish(call, b"connection lost")
        self._calls.clear()
        if not self.lost.done():
            self.lost.set_result(None)

    @property
    def in_flight(self) -> int:
        """Return the number of calls without a reply."""
        return len(self._calls)

    def close(self) -> None:
        self._transport.close()

    def send(self, body: bytes, began: float | None = None) -> None:
        """Start a call.

        Args:
            body: the message with its prefix; see `message_frame`.
            began: when the call was due (perf_counter), if not now: an open-loop load counts the wait too.
        """
        stream, self._stream = self._stream, self._stream + 2
        self._calls[stream] = _Call(time.perf_counter() if began is None else began)
        block = self._first_block if stream == 1 else self._block
        head = frame(_HEADERS, _END_HEADERS, stream, block)
        if self._window >= len(body) and not self._waiting:
            self._window -= len(body)
            self._transport.write(head + _data(stream, body))
        else:
            self._transport.write(head)
            self._waiting.append((len(body), _data(stream, body)))

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        position, end = 0, len(buffer)
        while end - position >= 9:
            length = int.from_bytes(buffer[position : position + 3], "big")
            if end - position - 9 < length:
                break
            kind, flags = buffer[position + 3], buffer[position + 4]
            stream = int.from_bytes(buffer[position + 5 : position + 9], "big")
            self._frame(kind, flags, stream, buffer[position + 9 : position + 9 + length])
            position += 9 + length
        self._buffer = buffer[position:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._count(len(payload))
            if call := self._calls.get(stream):
                call.received += len(payload)
        elif kind == _HEADERS:
            call = self._calls.get(stream)
            if call and flags & _END_STREAM:
                del self._calls[stream]
                self._finish(call, payload)
                self._done(self)
        elif kind == _SETTINGS and not flags & _ACK:
            self._transport.write(frame(_SETTINGS, _ACK, 0))
        elif kind == _PING and not flags & _ACK:
            self._transport.write(frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
            while self._waiting and self._window >= self._waiting[0][0]:
                length, frames = self._waiting.pop(0)
                self._window -= length
                self._transport.write(frames)
        elif kind == _RST_STREAM and (call := self._calls.pop(stream, None)):
            self._finish(call, b"reset " + payload)
            self._done(self)
        elif kind == _GOAWAY:
            self._transport.close()

    def _count(self, length: int) -> None:
        self._tally.bytes_received += length
        self._unacknowledged += length
        if self._unacknowledged > 1 << 28:
            self._transport.write(frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._unacknowledged)))
            self._unacknowledged = 0

    def _finish(self, call: _Call, trailers: bytes) -> None:
        self._tally.latencies.append(time.perf_counter() - call.began)
        # Even an empty reply has its five bytes of prefix.
        if _STATUS_OK not in trailers or call.received < 5:
            self._tally.failures += 1
            if len(self._tally.failed) < 3:
                self._tally.failed.append(trailers)
