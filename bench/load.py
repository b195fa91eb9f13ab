"""Load from processes of their own, and what the server used meanwhile."""

import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Any

import uvloop

from bench.arithmetic import Run
from bench.http2 import Connection, Tally, header_blocks, message_frame
from bench.instructions import Counter
from bench.processes import cpu_seconds
from bench.workload import Names, message_maker, method_of


@dataclass(frozen=True, slots=True)
class Load:
    """A stretch of load.

    Attributes:
        rpc: one of workload.RPCS, or `list<limit>@<page>`.
        connections: clients; each has a connection of its own.
        streams: calls each of them has under way.
        seconds: how long new calls are started.
        least: calls that are made even if it takes longer.
        rate: calls started per second, evenly, whatever the replies (open loop); 0 = the next call starts when
            one ends (closed loop).
    """

    rpc: str
    connections: int
    streams: int = 1
    seconds: float = 3.0
    least: int = 0
    rate: float = 0.0
    most: int = 1_000_000_000


class LoadFailedError(Exception):
    """Calls of a load were not answered with OK; the text shows the first trailers."""


def run(load: Load, port: int, names: Names, server_process: int, *, warm_up: bool = True) -> Run:
    """Put load on a server of this machine and weighs what the server spends on it.

    Args:
        warm_up: first make a few calls that do not count.

    Raises:
        LoadFailedError: a call failed.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, load, port, names, warm_up), daemon=True)
    process.start()
    theirs.close()
    try:
        ours.recv()  # connected and warm
        before, began = cpu_seconds(server_process), time.perf_counter()
        with Counter(server_process) as counter:
            ours.send("go")
            latencies, failures, failed, _received = ours.recv()
        used, wall = cpu_seconds(server_process) - before, time.perf_counter() - began
    finally:
        ours.close()
        process.join(30)
    if failures:
        raise LoadFailedError(f"{failures} of {len(latencies)} calls of {load.rpc} failed, first: {failed}")
    return Run(len(latencies), failures, wall, used, latencies, counter.instructions)


def _work(pipe: Pipe, load: Load, port: int, names: Names, warm_up: bool) -> None:
    tally = uvloop.run(_drive(pipe, load, port, names, warm_up))
    pipe.send((tally.latencies, tally.failures, tally.failed, tally.bytes_received))
    pipe.close()


async def _drive(pipe: Pipe, load: Load, port: int, names: Names, warm_up: bool) -> Tally:
    loop = asyncio.get_running_loop()
    tally = Tally()
    blocks = header_blocks(f"127.0.0.1:{port}", method_of(load.rpc), names.metadata)
    next_message = message_maker(load.rpc, names)
    driver = _Driver(load, lambda: message_frame(next_message()))
    connections: list[Connection] = []
    for _ in range(load.connections):
        _, connection = await loop.create_connection(
            lambda: Connection(blocks, tally, driver.replied), "127.0.0.1", port
        )
        connections.append(connection)
    if warm_up:
        await driver.warm_up(connections)
        tally.latencies.clear()
    pipe.send("ready")
    await loop.run_in_executor(None, pipe.recv)
    await (driver.open_loop(connections) if load.rate else driver.closed_loop(connections))
    for connection in connections:
        connection.close()
    return tally


class _Driver:
    """Decides when the next call starts."""

    def __init__(self, load: Load, next_body: Any) -> None:
        self._load = load
        self._next_body = next_body
        self._started = 0
        self._finished = 0
        self._until = 0.0
        self._closed_loop = False
        self._idle = asyncio.Event()

    def replied(self, connection: Connection) -> None:
        self._finished += 1
        if self._closed_loop and self._may_start():
            self._started += 1
            connection.send(self._next_body())
        elif self._finished == self._started:
            self._idle.set()

    def _may_start(self) -> bool:
        if self._started >= self._load.most:
            return False
        return self._started < self._load.least or time.perf_counter() < self._until

    async def warm_up(self, connections: Sequence[Connection]) -> None:
        """A call on every connection, so that headers are indexed and caches filled; then a few more."""
        for _ in range(3):
            self._begin(False)
            for connection in connections:
                self._started += 1
                connection.send(self._next_body())
            await self._idle.wait()

    async def closed_loop(self, connections: Sequence[Connection]) -> None:
        self._begin(True)
        for _ in range(self._load.streams):
            for connection in connections:
                if self._may_start():
                    self._started += 1
                    connection.send(self._next_body())
        await self._idle.wait()

    async def open_loop(self, connections: Sequence[Connection]) -> None:
        self._begin(False)
        began, total = time.perf_counter(), int(self._load.rate * self._load.seconds)
        for number in range(total):
            due = began + number / self._load.rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            self._started += 1
            connections[number % len(connections)].send(self._next_body(), due)
        self._idle.clear()
        if self._finished < self._started:
            await self._idle.wait()

    def _begin(self, closed_loop: bool) -> None:
        self._started = self._finished = 0
        self._closed_loop = closed_loop
        self._until = time.perf_counter() + self._load.seconds
        self._idle.clear()
