"""A MongoDB double with canned replies, to measure the service without its database.

    python -m bench.mongodb_double PORT [--write-latency-ms 3] [--events 300]

It speaks the wire protocol (OP_MSG, and OP_QUERY for the first greeting) and nothing else of MongoDB is in it: small
collections (webhooks) are kept in memory, events are not kept at all. Every find on `event` is answered with made-up
events, as many as asked for; every look-up of a condition or a claim finds nothing, as for a key that is new; every
write or commit is acknowledged after the set latency, as many as are sent at once. An unknown query is an error,
not an empty reply, which would make wrong figures unnoticed.

A mongod takes milliseconds and a core of its own where this takes microseconds. What it cannot show is what a database
does.
"""

import argparse
import asyncio
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import bson
import uvloop

from bench.canned_events import CannedEvents

_HEADER = struct.Struct("<iiii")
_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
_CHECKSUM, _MORE_TO_COME = 1, 2
_WRITES = frozenset({"insert", "update", "delete", "findAndModify", "findandmodify"})
_IN_TRANSACTION = b"\x08autocommit\x00"  # a field of type bool
# Keys that are new have no condition, claim or alert; what is written to these collections is forgotten.
_ALWAYS_EMPTY = frozenset({"condition", "idempotency_key", "alert"})

Document = Mapping[str, Any]


class UnknownCommandError(Exception):
    """The double has no answer to this; the text says to what."""


class Double:
    """State shared by all connections: the small collections, the canned events, and a log of commands.

    Args:
        events: how many events it pretends to hold.
        write_latency: seconds until a write is acknowledged.
    """

    def __init__(self, events: int, write_latency: float) -> None:
        self.write_latency = write_latency
        self._canned = CannedEvents(events)
        self._small: dict[str, list[dict[str, Any]]] = {}
        self._commands: dict[str, Callable[[str, Document, int], bytes]] = {
            "find": self._find,
            "insert": self._insert,
            "update": self._update,
            "delete": self._delete,
            "aggregate": self._aggregate,
            "count": self._count,
            "distinct": self._distinct,
            "findAndModify": self._find_and_modify,
            "listIndexes": self._nothing,
            "listCollections": self._nothing,
            "getMore": self._nothing,
        }

    def answer(self, body: bytes, sequence: bytes | None) -> tuple[str, bytes]:
        """Return the name of a command and the BSON of its reply.

        Args:
            body: the command as BSON.
            sequence: the documents sent beside it, one after the other; None if there were none.
        """
        name = first_key(body)
        if name in _PLAIN_REPLIES:
            return name, _PLAIN_REPLIES[name]
        command = bson.decode(body)
        sent = _documents(sequence) if sequence is not None else None
        if sent is None:
            listed = command.get("documents") or command.get("updates") or command.get("deletes") or []
            number = len(listed)
        else:
            number = sent
        try:
            handler = self._commands[name]
            collection = command[name]
            if name == "insert" and self._is_kept(collection):
                documents = _decode_all(sequence) if sequence is not None else command["documents"]
                self._small.setdefault(collection, []).extend(documents)
            return name, handler(str(collection), command, number)
        except (UnknownCommandError, KeyError) as error:
            text = f"the double does not know: {error!r} in {command!r}"[:2000]
            print(text, flush=True)
            return name, bson.encode({"ok": 0.0, "errmsg": text, "code": 59, "codeName": "CommandNotFound"})

    def _is_kept(self, collection: str) -> bool:
        return collection not in _ALWAYS_EMPTY and collection != "event"

    def _find(self, collection: str, command: Document, _number: int) -> bytes:
        namespace = f"{command['$db']}.{collection}"
        if collection == "event":
            return self._canned.find(namespace, command)
        rows = [] if collection in _ALWAYS_EMPTY else self._matching(collection, command.get("filter", {}))
        if limit := command.get("limit"):
            rows = rows[:limit]
        return cursor(namespace, rows)

    def _matching(self, collection: str, wanted: Document) -> list[dict[str, Any]]:
        return [row for row in self._small.get(collection, []) if _matches(row, wanted)]

    def _insert(self, _collection: str, _command: Document, number: int) -> bytes:
        return bson.encode({"n": number, "ok": 1.0})

    def _update(self, collection: str, _command: Document, number: int) -> bytes:
        # Counters of webhooks need not count here.
        return bson.encode({"n": number, "nModified": number, "ok": 1.0})

    def _delete(self, collection: str, command: Document, number: int) -> bytes:
        return bson.encode({"n": number, "ok": 1.0})

    def _aggregate(self, collection: str, command: Document, _number: int) -> bytes:
        namespace = f"{command['$db']}.{collection}"
        if collection == "event":
            return self._canned.aggregate(namespace, command)
        return cursor(namespace, [])

    def _count(self, collection: str, command: Document, _number: int) -> bytes:
        number = (
            self._canned.number if collection == "event" else len(self._matching(collection, command.get("query", {})))
        )
        return bson.encode({"n": number, "ok": 1.0})

    def _distinct(self, collection: str, _command: Document, _number: int) -> bytes:
        # Asked only for keys that an upstream database may know; this one knows none.
        return bson.encode({"values": [], "ok": 1.0})

    def _find_and_modify(self, collection: str, command: Document, _number: int) -> bytes:
        if collection == "alert_counter":  # numbers of alerts need not count here
            return bson.encode({"value": {"last": command["update"]["$inc"]["last"]}, "ok": 1.0})
        rows = self._matching(collection, command.get("query", {}))
        return bson.encode({"value": rows[0] if rows else None, "lastErrorObject": {"n": len(rows)}, "ok": 1.0})

    def _nothing(self, collection: str, command: Document, _number: int) -> bytes:
        return cursor(f"{command['$db']}.{collection}", [])


def cursor(namespace: str, rows: list[dict[str, Any]]) -> bytes:
    """A reply with all rows in its first batch."""
    return bson.encode({"cursor": {"firstBatch": rows, "id": 0, "ns": namespace}, "ok": 1.0})


def first_key(document: bytes) -> str:
    """Return the name of the first element of a BSON document: a command's name."""
    return document[5 : document.index(0, 5)].decode()


def _documents(sequence: bytes) -> int:
    number = position = 0
    while position < len(sequence):
        position += int.from_bytes(sequence[position : position + 4], "little")
        number += 1
    return number


def _decode_all(sequence: bytes) -> list[dict[str, Any]]:
    return bson.decode_all(sequence)


def _matches(row: Document, wanted: Document) -> bool:
    """Return True if a row of a small collection matches; only equality and $in are supported."""
    for name, value in wanted.items():
        if isinstance(value, dict) and len(value) == 1 and ("$in" in value or "$eq" in value):
            if row.get(name) not in value.get("$in", [value.get("$eq")]):
                return False
        elif isinstance(value, dict) and any(key.startswith("$") for key in value):
            raise UnknownCommandError(f"filter {name}: {value}")
        elif name.startswith("$"):
            raise UnknownCommandError(f"filter {name}")
        elif row.get(name) != value:
            return False
    return True


_HELLO = {
    "helloOk": True,
    "ismaster": True,
    "isWritablePrimary": True,
    # The only member of its set: the service takes no standalone. Clients connect directly, not by this name.
    "setName": "double",
    "hosts": ["double:27017"],
    "maxBsonObjectSize": 16 * 1024 * 1024,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "localTime": datetime(2026, 1, 1, tzinfo=UTC),
    "logicalSessionTimeoutMinutes": 30,
    "connectionId": 1,
    "minWireVersion": 0,
    "maxWireVersion": 21,
    "readOnly": False,
    "ok": 1.0,
}
_OK = bson.encode({"ok": 1.0})
_PLAIN_REPLIES = {
    **dict.fromkeys(("hello", "ismaster", "isMaster"), bson.encode(_HELLO)),
    **dict.fromkeys(("ping", "endSessions", "killCursors", "createIndexes", "dropIndexes", "create", "drop"), _OK),
    **dict.fromkeys(("dropDatabase", "collMod", "abortTransaction", "commitTransaction"), _OK),
    **dict.fromkeys(
        ("buildInfo", "buildinfo"), bson.encode({"version": "7.0.0", "versionArray": [7, 0, 0, 0], "ok": 1.0})
    ),
    "connectionStatus": bson.encode({"authInfo": {"authenticatedUsers": []}, "ok": 1.0}),
}


class _Connection(asyncio.Protocol):
    def __init__(self, double: Double) -> None:
        self._double = double
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        position = 0
        while len(buffer) - position >= 16:
            length, request, _, operation = _HEADER.unpack_from(buffer, position)
            if len(buffer) - position < length:
                break
            self._message(request, operation, buffer[position + 16 : position + length])
            position += length
        self._buffer = buffer[position:]

    def _message(self, request: int, operation: int, message: bytes) -> None:
        if operation == _OP_QUERY:
            reply = struct.pack("<iqii", 8, 0, 0, 1) + _PLAIN_REPLIES["hello"]
            self._transport.write(_HEADER.pack(16 + len(reply), 0, request, _OP_REPLY) + reply)
            return
        if operation != _OP_MSG:
            raise UnknownCommandError(f"operation {operation}")
        flags = int.from_bytes(message[:4], "little")
        name, document = self._double.answer(*_sections(message, flags))
        if flags & _MORE_TO_COME:
            return
        reply = b"\0\0\0\0\0" + document
        packed = _HEADER.pack(16 + len(reply), 0, request, _OP_MSG) + reply
        # Within a transaction only its commit waits for the journal.
        waits = name == "commitTransaction" or (name in _WRITES and _IN_TRANSACTION not in message)
        if self._double.write_latency and waits:
            asyncio.get_running_loop().call_later(self._double.write_latency, self._transport.write, packed)
        else:
            self._transport.write(packed)


def _sections(message: bytes, flags: int) -> tuple[bytes, bytes | None]:
    """Return the command and the documents sent beside it."""
    position, end = 4, len(message) - (4 if flags & _CHECKSUM else 0)
    body, sequence = b"", None
    while position < end:
        kind = message[position]
        length = int.from_bytes(message[position + 1 : position + 5], "little")
        section = message[position + 1 : position + 1 + length]
        if kind == 0:
            body = section
        else:
            sequence = section[section.index(0, 4) + 1 :]
        position += 1 + length
    return body, sequence


async def serve(port: int, double: Double) -> None:
    """Serve on loopback until it is ended."""
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(double), "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.mongodb_double", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--write-latency-ms", type=float, default=0.0)
    parser.add_argument("--events", type=int, default=300)
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, Double(arguments.events, arguments.write_latency_ms / 1000)))


if __name__ == "__main__":
    main()
