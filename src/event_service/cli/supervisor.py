"""Serve with several processes (EVENT_SERVICE_PROCESSES): the parent of `event-service serve`.

    parent          embedded database, addresses, output, signals; answers no calls
      worker 0..n   a whole service each, on the same two ports (SO_REUSEPORT): the kernel distributes connections

A worker that dies is replaced. If the parent dies, the workers end at once. Workers are fresh processes, since gRPC's
threads do not survive a fork.
"""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence

from event_service.cli.announcement import announce, is_trial, print_quickstart
from event_service.cli.configuration import ineffective_settings
from event_service.rpc.address import PortTaken, reserve_address
from event_service.settings import Settings
from event_service.store.embedded.database import EmbeddedDatabase, EmbeddedDatabaseError
from event_service.telemetry.logging import setup_logging
from event_service.worker import Worker

START_FAILURES = (EmbeddedDatabaseError, PortTaken)

# -P: as for the installed command, no module comes from the working directory.
COMMAND = (sys.executable, "-P", "-m", "event_service")

_MIN_BACKOFF, _MAX_BACKOFF = 0.1, 5.0  # seconds between two starts of a worker
_STABLE_SECONDS = 10.0  # a worker that ran longer is replaced without delay
_EXIT_SECONDS = 10.0  # for the end of a worker after its grace period, before SIGKILL
_MAX_DIRECTORY = 80  # bytes: the path of a Unix socket has at most 103

_INSTANCE = "service.instance.id"

_log = logging.getLogger(__name__)


class WorkerFailed(Exception):
    """A worker ended before it served; it has printed the reason.

    Attributes:
        status: its exit status.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"a process ended with status {status} during its start")
        self.status = status


class WorkerProcess:
    """The process of a worker, and those that replace it.

    Args:
        describe: returns the worker for a file descriptor, that of its socket to this process.
        command: what is run.
    """

    def __init__(self, describe: Callable[[int], Worker], command: Sequence[str]) -> None:
        self._describe = describe
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._started_at = 0.0
        self.grpc = self.http = ""

    async def start(self) -> None:
        """Start it, and wait until it serves.

        Raises:
            WorkerFailed: it ended before.
            OSError: the operating system starts no process.
        """
        if self._control is not None:
            self._control.close()
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        with theirs:
            environment = {**os.environ, **_instance(), **self._describe(theirs.fileno()).environment()}
            self._process = process = await asyncio.create_subprocess_exec(
                *self._command,
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                # Ctrl-C must reach only this process, which then stops the workers.
                start_new_session=True,
            )
        self._started_at = time.monotonic()
        announced = await asyncio.get_running_loop().sock_recv(self._control, 4096)
        if not announced:
            raise WorkerFailed(await process.wait())
        self.grpc, self.http = json.loads(announced)

    async def keep_running(self) -> None:
        """Start it again whenever it ends, until this is cancelled."""
        backoff = _MIN_BACKOFF
        while self._process is not None:
            status = await self._process.wait()
            _log.error("a process has ended; starting another", extra={"pid": self._process.pid, "status": status})
            if time.monotonic() - self._started_at > _STABLE_SECONDS:
                backoff = _MIN_BACKOFF
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, _MAX_BACKOFF)
            try:
                await self.start()
            except WorkerFailed:
                continue
            except OSError as error:
                _log.error("cannot start a process", extra={"reason": str(error)})
            else:
                _log.warning("started another process", extra={"pid": self._process.pid})

    async def stop(self, seconds: float) -> None:
        """Send SIGTERM, and SIGKILL after some seconds; return when it has ended."""
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(seconds):
                    await process.wait()
            except TimeoutError:
                _log.error("a process does not stop; killing it", extra={"pid": process.pid})
                process.kill()
                await process.wait()
        if self._control is not None:
            self._control.close()


async def supervise(settings: Settings, processes: int, *, first: bool) -> None:
    """Start the workers, print their addresses, replace those that die, and stop them on a signal.

    Raises:
        EmbeddedDatabaseError, PortTaken: with one line for the operator.
        WorkerFailed: a worker did not start.
    """
    setup_logging(settings.log_level)
    for reason in ineffective_settings(settings):
        _log.warning(reason)
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    async with contextlib.AsyncExitStack() as parts:
        serving = asyncio.ensure_future(_serve(settings, processes, parts, first=first))
        stopping = asyncio.ensure_future(stopped.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    _log.info("stopped")


async def _serve(settings: Settings, processes: int, parts: contextlib.AsyncExitStack, *, first: bool) -> None:
    """Serve until this is cancelled; the caller closes `parts` then, also after an error."""
    grpc_sockets, grpc = reserve_address(settings.grpc_address)
    for one in grpc_sockets:
        parts.callback(one.close)
    http_sockets, http = reserve_address(settings.http_address)
    for one in http_sockets:
        parts.callback(one.close)
    uri = "" if settings.mongodb_uri.get_secret_value() else await _start_embedded(settings, parts)
    directory = _make_directory()
    parts.callback(shutil.rmtree, directory, ignore_errors=True)

    def worker(number: int) -> WorkerProcess:
        return WorkerProcess(
            lambda control: Worker(number, grpc, http, uri, directory, control), [*COMMAND, *sys.argv[1:]]
        )

    workers = [worker(number) for number in range(processes)]
    parts.push_async_callback(_stop, workers, settings.grace_seconds + _EXIT_SECONDS)
    # The first one alone: it creates the indexes, and prints once what it cannot use.
    await workers[0].start()
    await asyncio.gather(*(one.start() for one in workers[1:]))
    announce(settings, grpc=workers[0].grpc, http=workers[0].http)
    if first and is_trial(settings):
        await asyncio.to_thread(print_quickstart, settings, workers[0].grpc)
    await asyncio.gather(*(one.keep_running() for one in workers))


async def _start_embedded(settings: Settings, parts: contextlib.AsyncExitStack) -> str:
    embedded = EmbeddedDatabase(settings.data_dir, mongod=settings.mongod, cache_mb=settings.mongod_cache_mb)
    parts.push_async_callback(asyncio.to_thread, embedded.stop)
    return await asyncio.to_thread(embedded.start)


async def _stop(workers: Sequence[WorkerProcess], seconds: float) -> None:
    _log.info("stopping")
    await asyncio.gather(*(one.stop(seconds) for one in workers))


def _make_directory() -> str:
    """Create a directory of mode 0700 whose path is short enough for Unix sockets."""
    base = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="event-service-", dir=base if len(os.fsencode(base)) < _MAX_DIRECTORY else "/tmp")  # noqa: S108


def _instance() -> dict[str, str]:
    """Return the variable that tells the workers apart in exported traces and metrics.

    Source: OpenTelemetry, "Service attributes".
    """
    attributes = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if f"{_INSTANCE}=" in attributes:
        return {}
    own = f"{_INSTANCE}={uuid.uuid4()}"
    return {"OTEL_RESOURCE_ATTRIBUTES": f"{attributes},{own}" if attributes else own}
