"""Real mongod processes for tests: a replica set on 127.0.0.1 whose members can be killed, paused and stepped down."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from event_service.store.embedded import mongod

START_SECONDS = 60.0

SMALL = (
    *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "100"),
    *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    *("--setParameter", "transactionLifetimeLimitSeconds=10"),  # as docs/operations.md asks for
    "--wiredTigerEngineConfigString",
    "log=(enabled=true,remove=true,path=journal,compressor=snappy,file_max=10MB,prealloc=false)",
)


def find_mongod() -> str:
    """Return the path of the program that the product embeds.

    Raises:
        EmbeddedDatabaseError: no mongod is installed.
    """
    return str(mongod.find_mongod(os.environ.get("EVENT_SERVICE_MONGOD", "")))


def free_port() -> int:
    """Return a free port outside the range of outgoing connections, so that a restart finds it free again."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _is_member(hello: dict[str, Any]) -> bool:
    return bool(hello.get("isWritablePrimary") or hello.get("secondary"))


class Node:
    """One mongod on 127.0.0.1.

    Args:
        arguments: further arguments of mongod.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.uri = f"mongodb://{self.address}/?directConnection=true"
        self.process: subprocess.Popen[bytes] | None = None
        self.paused = False
        self._folder = folder
        self._arguments = arguments

    @property
    def pid(self) -> int:
        assert self.process is not None, "not started"
        return self.process.pid

    @property
    def answers(self) -> bool:
        """Return True if the process is there and not paused."""
        return self.process is not None and self.process.poll() is None and not self.paused

    @property
    def log(self) -> str:
        """Return the whole log, since its first start."""
        return (self._folder / "mongod.log").read_text(errors="replace")

    def client(self) -> MongoClient[dict[str, Any]]:
        """Return a client of this node alone, in any state."""
        return MongoClient(self.uri, serverSelectionTimeoutMS=500, connectTimeoutMS=500, socketTimeoutMS=10_000)

    def hello(self) -> dict[str, Any]:
        """Return its reply to `hello`; {} for no reply."""
        with self.client() as client:
            try:
                return client.admin.command("hello")
            except PyMongoError:
                return {}

    def spawn(self) -> None:
        """Start the process and do not wait for it."""
        (self._folder / "data").mkdir(parents=True, exist_ok=True)
        where = ["--dbpath", str(self._folder / "data"), "--bind_ip", "127.0.0.1", "--port", str(self.port)]
        where += ["--nounixsocket", "--logpath", str(self._folder / "mongod.log"), "--logappend", "--quiet"]
        command = [find_mongod(), *where, *SMALL, *self._arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def start(self) -> Self:
        """Start it and return once it replies."""
        self.spawn()
        self.wait(bool)
        return self

    def wait(self, accepts: Callable[[dict[str, Any]], object]) -> None:
        """Wait until `accepts` returns true for its reply to `hello`."""
        deadline = time.monotonic() + START_SECONDS
        while not accepts(self.hello()):
            assert self.process is not None
            status = self.process.poll()
            assert status is None, f"mongod ended with status {status}: {self.log[-2000:]}"
            assert time.monotonic() < deadline, f"mongod is not ready after {START_SECONDS} s: {self.log[-2000:]}"
            time.sleep(0.02)

    def pause(self) -> None:
        """Send SIGSTOP: it keeps its connections and replies to nothing."""
        self.paused = True
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        self.paused = False
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Send SIGKILL; does nothing if it has ended."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.paused = False


class ReplicaSet:
    """A replica set of such nodes.

    Args:
        election_timeout_ms: how long a primary may be unreachable before an election. MongoDB's default is 10 s.
        arguments: of each mongod.
    """

    def __init__(
        self, folder: Path, nodes: int = 3, *, election_timeout_ms: int = 1000, arguments: Sequence[str] = ()
    ) -> None:
        self.nodes = [Node(folder / f"node-{n}", "--replSet", "rs0", *arguments) for n in range(nodes)]
        self._election_timeout_ms = election_timeout_ms

    @property
    def uri(self) -> str:
        return f"mongodb://{','.join(node.address for node in self.nodes)}/?replicaSet=rs0"

    def start(self) -> Self:
        """Start all nodes and return once one is primary and the others are secondaries."""
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            node.wait(bool)
        members = [{"_id": number, "host": node.address} for number, node in enumerate(self.nodes)]
        # A heartbeat is due every two seconds by default, and each step of the start waits for one.
        settings = {"electionTimeoutMillis": self._election_timeout_ms, "heartbeatIntervalMillis": 200}
        with self.nodes[0].client() as client:
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members, "settings": settings})
        for node in self.nodes:  # those that are new to the set copy the data of the first one
            node.wait(_is_member)
        self.step_up(self.nodes[0])
        return self

    def repair(self) -> None:
        """Resume and start every node; return once each is a member, maybe before a primary is elected."""
        for node in self.nodes:
            if node.paused:
                node.resume()
            elif not node.answers:
                node.spawn()
        for node in self.nodes:
            node.wait(_is_member)

    def stop(self) -> None:
        """Send SIGKILL to all; their data is no longer needed."""
        for node in self.nodes:
            node.kill()

    def primary(self) -> Node:
        """Wait for a primary that the majority has elected, and return it."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            hellos = [(node, node.hello()) for node in self.nodes if node.answers]
            claimants = [(hello["electionId"], node) for node, hello in hellos if hello.get("isWritablePrimary")]
            if claimants:  # an old one that has not noticed yet has an older id
                return max(claimants, key=lambda claimant: claimant[0])[1]
            assert time.monotonic() < deadline, f"no primary after {START_SECONDS} s"
            time.sleep(0.05)

    def secondaries(self) -> list[Node]:
        primary = self.primary()
        return [node for node in self.nodes if node is not primary]

    def kill(self, node: Node) -> None:
        node.kill()

    def restart(self, node: Node) -> None:
        """Start a node that has ended and return once it is a member again."""
        node.start()
        node.wait(_is_member)

    def step_up(self, node: Node) -> None:
        """Make a secondary the primary, as soon as a majority votes for it."""

        def elected(hello: dict[str, Any]) -> bool:
            if not hello.get("isWritablePrimary"):
                with node.client() as client, suppress(PyMongoError):  # not up yet, or not in touch
                    client.admin.command("replSetStepUp", True)
            return bool(hello.get("isWritablePrimary"))

        node.wait(elected)

    def step_down(self, seconds: int = 10) -> None:
        """Make the primary hand over to a secondary and not be elected again for some seconds."""
        primary = self.primary()

        def done(hello: dict[str, Any]) -> bool:
            with primary.client() as client:
                try:
                    client.admin.command("replSetStepDown", seconds, secondaryCatchUpPeriodSecs=min(5, seconds))
                except OperationFailure:  # no secondary has caught up under the load: ask again
                    return False
            return True

        primary.wait(done)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()
