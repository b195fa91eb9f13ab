"""One run of the embedded database: a child process on a loopback port that answers, and that is really ours."""

import contextlib
import logging
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from event_service.store.embedded.engine import Engine

log = logging.getLogger(__name__)

READY_SECONDS = 30.0
"""Usually 0.6 to 3.5 s; after a crash the journal is replayed first."""

_POLL_SECONDS = 0.03
_BROKEN = re.compile(r"\[\d+:\d+\]\[\d+:0x[0-9a-f]+\].*(?:WT_PANIC|No space left on device)")
"""The storage engine's own words (never a caller's) when a write to its files has failed: it will not recover."""

_ADDRESS_IN_USE = ("Address already in use", "address already in use", "Errno 98", "Errno 48")


class StartFailedError(Exception):
    """The child exited, or did not answer in time.

    Attributes:
        port_taken: somebody else has the port; another attempt may succeed.
        output: the last lines it printed.
    """

    def __init__(self, message: str, output: list[str]) -> None:
        super().__init__(message)
        self.output = output
        self.port_taken = any(sign in line for line in output for sign in _ADDRESS_IN_USE)


class Child:
    """A database process. Start it from the thread that lives as long as it is to live: it dies with that thread.

    Args:
        files: the directory of its files.
        port: on 127.0.0.1.
    """

    def __init__(self, engine: Engine, files: Path, port: int) -> None:
        self.port = port
        self._last_lines: deque[str] = deque(maxlen=30)
        starter = Path(__file__).with_name("child.py")
        self._process = subprocess.Popen(  # noqa: S603 - our own script and the program found by `engine`
            [sys.executable, "-I", "-S", str(starter), str(os.getpid()), *engine.command(files, port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=engine.environment,
            cwd=files,
            # Ctrl-C at the terminal is for the service: it still has to write what it has taken.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read_output, name="embedded-database-output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def last_lines(self) -> list[str]:
        """The end of what it has printed."""
        return list(self._last_lines)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self, stopping: threading.Event, seconds: float = READY_SECONDS) -> None:
        """Returns once the child itself listens on its port and answers a ping.

        Raises:
            StartFailedError: it exited, or does not answer; it is not running any more then.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not stopping.is_set():
            if not self.alive:
                self._reader.join(1)
                raise StartFailedError(self._why(), self.last_lines)
            if owns_listener(self.pid, self.port) and self._answers() and self.alive:
                return
            stopping.wait(_POLL_SECONDS)
        self.kill()
        raise StartFailedError(f"it did not answer within {seconds:.0f} s", self.last_lines)

    def wait(self, seconds: float | None = None) -> int | None:
        """Exit status; None if it still runs after `seconds`."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if self._process.returncode is not None:
                self._reader.join(1)

    def terminate(self) -> None:
        """Asks it to write a checkpoint and end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        # SecantusDB looks at the signal at its next connection, or after 2 s.
        with contextlib.suppress(OSError):
            time.sleep(0.02)
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()

    def kill(self) -> None:
        """Ends it at once and waits for that."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self.wait()

    def _answers(self) -> bool:
        try:
            with MongoClient[dict[str, object]](
                "127.0.0.1",
                self.port,
                directConnection=True,
                serverSelectionTimeoutMS=1000,
                connectTimeoutMS=1000,
                socketTimeoutMS=2000,
            ) as client:
                client.admin.command("ping")
                # Where the listener's owner cannot be looked up, the server itself says which process it is.
                return sys.platform == "linux" or client.admin.command("serverStatus").get("pid") == self.pid
        except PyMongoError:
            return False

    def _read_output(self) -> None:
        if self._process.stdout is None:
            return
        with self._process.stdout as output:
            for line in output:
                text = line.decode(errors="replace").rstrip()
                if text:
                    self._last_lines.append(text)
                    log.debug("database: %s", text)
                if _BROKEN.match(text):
                    # It does not end by itself, and it answers pings. Started again it replays its journal.
                    self._process.kill()

    def _why(self) -> str:
        status = self._process.returncode
        ended = f"it was ended by signal {-status}" if status < 0 else f"it exited with status {status}"
        last = self._last_lines[-1] if self._last_lines else "without a word"
        return f"{ended}: {last}"


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on just now, below the range that outgoing connections are given.

    A client that keeps connecting to a dead server's port inside that range may in the end be connected to itself,
    and the server could not come back to its port.
    """
    for port in random.sample(range(20_000, _first_ephemeral_port()), 50):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _first_ephemeral_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768
    return first if first >= 21_000 else 32_768


def owns_listener(pid: int, port: int) -> bool:
    """Whether the process listens on 127.0.0.1:port: nothing is sent to a stranger that was faster.

    Looked up in /proc; where there is none, True, and the server has to be asked.
    """
    if sys.platform != "linux":
        return True
    try:
        table = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        sockets = {
            f"socket:[{row[9]}]" for row in map(str.split, table) if row[1] == f"0100007F:{port:04X}" and row[3] == "0A"
        }
        return any(_link(file) in sockets for file in Path(f"/proc/{pid}/fd").iterdir()) if sockets else False
    except OSError:  # it exited while being looked at
        return False


def _link(file: Path) -> str:
    try:
        return str(file.readlink())
    except OSError:
        return ""
