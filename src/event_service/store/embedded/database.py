"""The embedded database: a mongod as a supervised child process, for development and small installations.

    DATA_DIR/database/
        lock            locked (flock) by the service that uses the directory
        mongod.sock     Unix socket of mode 0600; there is no TCP port
        files/          mongod's dbpath

It is a replica set of one member, so that change streams, majority reads and transactions work as on any other. If
mongod dies, it is restarted on the same socket; if the service dies, mongod is killed.
In production EVENT_SERVICE_MONGODB_URI names a replica set.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from event_service.store.embedded.mongod import (
    REPLICA_SET,
    EmbeddedDatabaseError,
    command_line,
    exit_reason,
    find_mongod,
    known_cause,
)

__all__ = ["DirectoryInUseError", "EmbeddedDatabase", "EmbeddedDatabaseError", "running_uri"]

log = logging.getLogger(__name__)

MIN_FREE_BYTES = 64 * 1024 * 1024
"""Free space below which mongod is not started: journal files alone take 10 MB each."""

_READY_SECONDS = 300.0  # usually 0.8; after a crash the journal is replayed first
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.01
_MIN_BACKOFF, _MAX_BACKOFF = 0.05, 2.0  # seconds between restarts
_MAX_SOCKET_PATH = 103  # bytes, on macOS; Linux allows 107
_NOT_YET_INITIALIZED = 94
_IN_TRANSITION = frozenset({23, 109, 189, 11600, 11602})
# AlreadyInitialized, ConfigurationInProgress, PrimarySteppedDown, InterruptedAtShutdown, ...DueToReplStateChange
_CONFIRM_SINCE = 7  # from this version on, setFeatureCompatibilityVersion must be confirmed


class DirectoryInUseError(EmbeddedDatabaseError):
    """Another service uses the data directory."""


class EmbeddedDatabase:
    """The embedded database of one service.

    Args:
        data_dir: the service's data directory; created if missing.
        mongod: the program, a path or a name on PATH; "" to search for one.
        cache_mb: size of the WiredTiger cache, in MB.
    """

    def __init__(self, data_dir: Path, *, mongod: str = "", cache_mb: int = 256) -> None:
        self._directory = _Directory(data_dir.absolute() / "database")
        self._mongod = mongod
        self._cache_mb = cache_mb
        self._stopping = threading.Event()
        self._supervisor: threading.Thread | None = None
        self._process: _Process | None = None

    @property
    def uri(self) -> str:
        """Return its URI, which depends only on the directory."""
        return _uri(self._directory.socket)

    @property
    def pid(self) -> int:
        """Return the process id of mongod; it changes with each restart. Only after `start`."""
        if self._process is None:
            raise RuntimeError("the embedded database has not been started")
        return self._process.pid

    def start(self) -> str:
        """Start mongod and wait until it takes writes.

        Returns:
            Its URI.

        Raises:
            DirectoryInUseError: another service runs on the directory.
            EmbeddedDatabaseError: it cannot be started; the message is one line.
        """
        directory = self._directory
        program = find_mongod(self._mongod)
        try:
            directory.open()
            if (orphan := directory.stop_orphan(_STOP_SECONDS)) is not None:
                log.warning("stopped the orphaned mongod of an earlier service", extra={"pid": orphan})
            started: Future[None] = Future()
            self._supervisor = threading.Thread(
                target=self._supervise, args=(program, started), name="embedded-database", daemon=True
            )
            self._supervisor.start()
            started.result()  # raises what the first start of mongod raised
        except OSError as error:
            directory.release()
            raise directory.unusable(error) from None
        except BaseException:
            directory.release()
            raise
        log.info(
            "the embedded database is ready: for development and small installations; "
            "set EVENT_SERVICE_MONGODB_URI for production",
            extra={"program": str(program), "files": str(directory.files), "pid": self.pid},
        )
        return self.uri

    def stop(self) -> None:
        """Stop mongod: SIGTERM, and SIGKILL after 20 s. Return when it has ended. May be called twice."""
        self._stopping.set()
        if self._supervisor is None:
            return
        self._signal(signal.SIGTERM)
        self._supervisor.join(_STOP_SECONDS)
        if self._supervisor.is_alive():
            log.error("the embedded database did not stop; killing it")
            self._signal(signal.SIGKILL)
            self._supervisor.join(5)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.signal(number)

    # --- in the supervisor's thread: the kernel kills mongod when the thread that started it ends ---------------

    def _supervise(self, program: Path, started: "Future[None]") -> None:
        try:
            self._run(program)
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(None)
        try:
            while self._process is not None:
                self._process.wait()
                if self._stopping.is_set() or not self._restart(program, self._process):
                    return
        finally:
            self._directory.release()

    def _restart(self, program: Path, ended: "_Process") -> bool:
        """Retry until mongod runs again. Return False if the service is stopped meanwhile."""
        log.error("the embedded database has died; restarting it", extra={"reason": ended.reason()})
        backoff = _MIN_BACKOFF
        while not self._stopping.is_set():
            try:
                self._directory.check_space()
                self._run(program)
            except (EmbeddedDatabaseError, OSError) as error:
                log.error("the embedded database does not start", extra={"reason": str(error)})  # noqa: TRY400
            else:
                log.warning("restarted the embedded database", extra={"pid": self.pid})
                return True
            self._stopping.wait(backoff)
            backoff = min(2 * backoff, _MAX_BACKOFF)
        return False

    def _run(self, program: Path) -> None:
        directory = self._directory
        process = _Process(command_line(program, directory.files, directory.socket, self._cache_mb), directory.files)
        try:
            process.wait_until(lambda: _accepts(directory.socket), self._stopping)
            with MongoClient[dict[str, Any]](self.uri, serverSelectionTimeoutMS=10_000) as client:
                process.wait_until(lambda: _is_primary(client, str(directory.socket)), self._stopping)
                _raise_compatibility(client)
        except BaseException as error:
            process.signal(signal.SIGKILL)
            process.wait()
            if isinstance(error, PyMongoError):
                reason = process.known_cause() or str(error).splitlines()[0]
                raise EmbeddedDatabaseError(f"the embedded database does not start: {reason}") from None
            raise
        self._process = process


class _Directory:
    """DATA_DIR/database, locked by one service at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = path / "files"
        self.socket = _socket_path(path)
        self._lock: IO[str] | None = None

    def open(self) -> None:
        """Create the directory if it is missing, and lock it until `release`.

        Raises:
            OSError: it is not writable.
            EmbeddedDatabaseError: it is in use, its disk is full, or it belongs to another program.
        """
        if (self.path.parent / "WiredTiger").exists():
            raise EmbeddedDatabaseError(
                f"{self.path.parent} is the directory of another MongoDB; choose another EVENT_SERVICE_DATA_DIR"
            )
        self.files.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        self._lock = (self.path / "lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip()
            named = f" (process {holder})" if holder else ""
            raise DirectoryInUseError(f"{self.path} is in use by another event-service{named}") from None
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        self.check_space()
        self._check_files()
        self._make_socket_directory()

    def release(self) -> None:
        """Unlock the directory."""
        if self._lock is not None:
            self._lock.close()

    def check_space(self) -> None:
        """Raise EmbeddedDatabaseError if the disk has too little space to start."""
        free = shutil.disk_usage(self.path).free
        if free < MIN_FREE_BYTES:
            raise EmbeddedDatabaseError(
                f"the disk of {self.path} is full: {free // 2**20} MB are free, "
                f"the embedded database needs {MIN_FREE_BYTES // 2**20} MB to start"
            )

    def stop_orphan(self, seconds: float) -> int | None:
        """Stop a mongod that a killed service left running on the files. Only with the lock held.

        Args:
            seconds: grace period before SIGKILL.

        Returns:
            Its process id, or None for no orphan.
        """
        try:
            pid = int((self.files / "mongod.lock").read_text(encoding="ascii"))
        except (OSError, ValueError):  # it is empty after a clean stop
            return None
        found = None
        for number, grace in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
            deadline = time.monotonic() + grace
            if str(self.files) not in _command_line_of(pid):  # the process id may belong to another program by now
                break
            found = pid
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            while str(self.files) in _command_line_of(pid) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        return found

    def unusable(self, error: OSError) -> EmbeddedDatabaseError:
        """Return the error for an OSError on the directory."""
        return EmbeddedDatabaseError(f"{self.path} is not usable: {error.strerror or error}")

    def _check_files(self) -> None:
        if (self.path / "engine.json").exists() or any(self.files.glob("secantus*")):
            raise EmbeddedDatabaseError(
                f"{self.path} was written by SecantusDB, which this version does not read: run `event-service db "
                "backup FILE` with the version that wrote it, then `event-service db restore FILE` here on a new "
                "EVENT_SERVICE_DATA_DIR"
            )
        if any(self.files.iterdir()) and not (self.files / "WiredTiger").exists():
            raise EmbeddedDatabaseError(
                f"{self.files} holds files that are not MongoDB's; choose another EVENT_SERVICE_DATA_DIR"
            )

    def _make_socket_directory(self) -> None:
        folder = self.socket.parent
        if folder == self.path:
            return
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise EmbeddedDatabaseError(f"{folder} belongs to another user or is open to others; remove it")


class _Process:
    """One run of mongod. The kernel kills it when the thread that created it ends."""

    def __init__(self, command: list[str], files: Path) -> None:
        self._last_lines: deque[str] = deque(maxlen=200)
        starter = Path(__file__).with_name("child.py")
        self._process = subprocess.Popen(  # noqa: S603 - our own script and the program found by `find_mongod`
            [sys.executable, "-I", "-S", str(starter), str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=files,
            # Ctrl-C must reach only the service, which still has to write accepted events.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read_output, name="embedded-database-output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool], stopping: threading.Event) -> None:
        """Wait until `ready` returns True.

        Raises:
            EmbeddedDatabaseError: mongod ended, was not ready in 300 s, or the service is stopped.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while not ready():
            if self._process.poll() is not None:
                raise EmbeddedDatabaseError(f"the embedded database does not start: {self.reason()}")
            if time.monotonic() > deadline:
                raise EmbeddedDatabaseError(f"the embedded database is not ready after {_READY_SECONDS:.0f} s")
            if stopping.wait(_POLL_SECONDS):
                raise EmbeddedDatabaseError("the service was stopped while its embedded database started")

    def reason(self) -> str:
        """Wait for its end and return the reason in one line."""
        status = self.wait()
        return exit_reason(status, list(self._last_lines))

    def wait(self) -> int:
        """Wait for its end and return its exit status."""
        status = self._process.wait()
        self._reader.join(1)
        return status

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def known_cause(self) -> str | None:
        """Return the known cause of failure in its output so far, or None."""
        return known_cause(list(self._last_lines))

    def _read_output(self) -> None:
        if self._process.stdout is None:
            return
        with self._process.stdout as output:
            for line in output:
                text = line.decode(errors="replace").rstrip()
                self._last_lines.append(text)
                log.debug("mongod: %s", text)


def running_uri(data_dir: Path) -> str | None:
    """Return the URI of the database that runs on a data directory, or None if it does not run."""
    path = _socket_path(data_dir.absolute() / "database")
    return _uri(path) if _accepts(path) else None


def _is_primary(client: MongoClient[dict[str, Any]], host: str) -> bool:
    """Return True if the server takes writes; until then, make it a replica set of one member on its socket."""
    admin = client.admin
    try:
        if admin.command("hello").get("isWritablePrimary"):
            return True
        config = admin.command("replSetGetConfig")["config"]
        if [member["host"] for member in config["members"]] != [host]:  # the directory was moved
            config["members"] = [{"_id": 0, "host": host}]
            admin.command("replSetReconfig", config | {"version": config["version"] + 1}, force=True)
    except OperationFailure as error:
        if error.code == _NOT_YET_INITIALIZED:
            _initiate(client, host)
        elif error.code not in _IN_TRANSITION:
            raise
    except AutoReconnect:  # connections are closed when the server becomes primary
        return False
    return False


def _initiate(client: MongoClient[dict[str, Any]], host: str) -> None:
    try:
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [{"_id": 0, "host": host}]})
    except OperationFailure as error:
        # A set that exists is "not yet initialized" too, until the server has loaded its configuration.
        if error.code not in _IN_TRANSITION:
            raise


def _raise_compatibility(client: MongoClient[dict[str, Any]]) -> None:
    """Set featureCompatibilityVersion to the program's version, as MongoDB's release notes describe for upgrades."""
    major, minor = client.server_info()["versionArray"][:2]
    command = {"getParameter": 1, "featureCompatibilityVersion": 1}
    current = client.admin.command(command)["featureCompatibilityVersion"]["version"]
    if current == f"{major}.{minor}":
        return
    log.warning("raising featureCompatibilityVersion", extra={"from": current, "to": f"{major}.{minor}"})
    confirmed = {"confirm": True} if major >= _CONFIRM_SINCE else {}
    client.admin.command({"setFeatureCompatibilityVersion": f"{major}.{minor}", **confirmed})


def _socket_path(directory: Path) -> Path:
    """Return the path of mongod's socket: in its directory or, if that path is not possible, below a runtime directory.

    The length of a socket's path is limited, and `--bind_ip` and a member's host allow neither `,` nor `:` in it.
    """
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    private = f"event-service-{os.getuid()}-{digest}"
    bases = [Path(base) for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp") if base]  # noqa: S108
    folders = [directory, *(base / private for base in bases)]
    return next(filter(_is_socket_path, (folder / "mongod.sock" for folder in folders)), directory / "mongod.sock")


def _is_socket_path(path: Path) -> bool:
    return len(os.fsencode(path)) <= _MAX_SOCKET_PATH and not set(str(path)) & {",", ":"}


def _uri(path: Path) -> str:
    # A direct connection: discovery would convert the path of the member to lower case.
    return f"mongodb://{quote(str(path), safe='')}/?directConnection=true"


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _command_line_of(pid: int) -> str:
    """Return the command line of a process; "" if it does not exist."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            return ""
    ps = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout  # noqa: S603
