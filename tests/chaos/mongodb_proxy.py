"""A proxy that reads along: it knows which command a service sends to its database, and can stop it at one.

Source: MongoDB's wire protocol, OP_MSG; the first name in its first document is the command's.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import bson

from tests.contract.tcp_proxy import TcpProxy

_HEADER = struct.Struct("<iiii")  # length, request id, response to, operation
_LENGTH = struct.Struct("<i")
_OP_MSG = 2013


@dataclass
class Trap:
    """Springs once, at a command: neither the command's answer nor, with `before`, the command itself gets through.

    With `passes` the command goes on once something has been done before it.

    Attributes:
        command, collection: `insert` and `event`, say.
        skip: so many of them pass first.
        before: springs instead of the command; else when the database has answered it.
        act: what happens then.
        passes: the command is sent on after that; only with `before`.
    """

    command: str
    collection: str
    before: bool
    act: Callable[[], None]
    skip: int = 0
    passes: bool = False
    sprung: threading.Event = field(default_factory=threading.Event)


class MongoProxy(TcpProxy):
    """A TCP proxy with a trap; see `tcp_proxy` for its other misdeeds."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.trap: Trap | None = None
        self.commands: list[dict[str, Any]] | None = None
        """Every command that passes, once this is a list; of its documents only those in its own body."""
        self._answers: set[socket.socket] = set()  # clients whose next answer springs the trap
        super().__init__(target)

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def _pump(self, source: socket.socket, sink: socket.socket, is_reply: bool) -> None:
        with contextlib.suppress(OSError):
            while message := _read_message(source):
                if self._springs(message, source, sink, is_reply):
                    continue
                if self.commands is not None and not is_reply and _HEADER.unpack_from(message)[3] == _OP_MSG:
                    self.commands.append(bson.decode(message[21 : 21 + _LENGTH.unpack_from(message, 21)[0]]))
                if is_reply:
                    time.sleep(self.delay)
                    if self.silent:
                        continue
                sink.sendall(message)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _springs(self, message: bytes, source: socket.socket, sink: socket.socket, is_reply: bool) -> bool:
        trap = self.trap
        if trap is None or trap.sprung.is_set():
            return False
        if is_reply:
            if sink not in self._answers:
                return False
        elif _command(message) != (trap.command, trap.collection):
            return False
        elif trap.skip:
            trap.skip -= 1
            return False
        elif not trap.before:
            self._answers.add(source)
            return False
        trap.sprung.set()
        trap.act()
        return not trap.passes


def _read_message(source: socket.socket) -> bytes:
    """Return the next whole message; b"" at the end."""
    head = _read(source, _HEADER.size)
    if len(head) < _HEADER.size:
        return b""
    return head + _read(source, _HEADER.unpack(head)[0] - _HEADER.size)


def _read(source: socket.socket, size: int) -> bytes:
    pieces = b""
    while len(pieces) < size and (piece := source.recv(size - len(pieces))):
        pieces += piece
    return pieces


def _command(message: bytes) -> tuple[str, str]:
    """Return name and collection of a command, or ("", "")."""
    if _HEADER.unpack_from(message)[3] != _OP_MSG:
        return "", ""
    # Behind header, flags, kind and length of the document: the type of its first value (2 is a string) and its name.
    kind, rest = message[25], message[26:]
    name, _, value = rest.partition(b"\0")
    if kind != 2:
        return name.decode(), ""
    return name.decode(), value[4:].partition(b"\0")[0].decode()
