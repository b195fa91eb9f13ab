"""Server processes: started, waited for, weighed and ended."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for_port(port: int, seconds: float = 60.0, process: "Server | None" = None) -> None:
    """Wait until a server listens on a port of loopback.

    Raises:
        TimeoutError: no server does in time.
        RuntimeError: `process`, which was to listen, has ended.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process is not None and not process.alive:
            raise RuntimeError(f"{process.name} ended before it listened on port {port}:\n{process.log_tail()}")
        time.sleep(0.1)
    raise TimeoutError(f"no server listens on port {port}")


def cpu_seconds(process_id: int) -> float:
    """Return user and system time a process has used, in seconds; threads that have ended included, children not.

    Linux counts it in nanoseconds behind a clock of the process (clock_getcpuclockid(3)); elsewhere psutil's
    10 ms must do.
    """
    if hasattr(time, "clock_gettime"):
        with suppress(OSError):
            return time.clock_gettime((~process_id << 3) | 2)
    times = psutil.Process(process_id).cpu_times()
    return times.user + times.system


def resident_bytes(process_id: int) -> int:
    """Return memory of a process that is in RAM."""
    return int(psutil.Process(process_id).memory_info().rss)


class Server:
    """A server process, known by its id; `start` makes one, and what another script has started can be named too."""

    def __init__(self, name: str, process_id: int, log: Path | None = None) -> None:
        self.name = name
        self.process_id = process_id
        self._log = log
        self._popen: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, name: str, command: Sequence[str | Path], log: Path, environment: Mapping[str, str]) -> "Server":
        """Start a process in a group of its own.

        Args:
            log: the file that takes its output.
            environment: added to ours.
        """
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        server = cls(name, popen.pid, log)
        server._popen = popen
        return server

    @property
    def alive(self) -> bool:
        return self._popen is None or self._popen.poll() is None

    def log_tail(self, length: int = 2000) -> str:
        """Return the end of what it has printed."""
        return self._log.read_text(errors="replace")[-length:] if self._log and self._log.exists() else ""

    def stop(self, seconds: float = 20.0) -> None:
        """Ask it to end, and makes it end."""
        if self._popen is None or self._popen.poll() is not None:
            return
        self._popen.send_signal(signal.SIGTERM)
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


def find_program(name: str) -> Path | None:
    """A program on PATH, or unpacked by `make test-tools`."""
    unpacked = ROOT / ".tools" / "bin" / name
    found = shutil.which(name)
    return Path(found) if found else unpacked if unpacked.exists() else None
