"""The embedded database's directory: whose it is, who uses it, which program made it.

DATA_DIR/database/
    lock            held (flock) by the one service that uses the directory
    engine.json     the program and the exact version that wrote the files
    child.json      process id of the database, while it runs
    files/          the database's own
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

from event_service.store.embedded.engine import MONGOD, SECANTUS, EmbeddedDatabaseError, Engine

LEAST_FREE_BYTES = 64 * 1024 * 1024
"""Less free space than this is not worth starting in: journal segments alone are 10 MB each."""


class DirectoryInUseError(EmbeddedDatabaseError):
    """A service is running on the data directory."""


_OTHER_DATABASES = ("WiredTiger", "mongod.lock", "secantus_collections.wt")


class Directory:
    """Takes hold of the directory, creating it where it is missing; `release` lets go.

    Args:
        data_dir: the service's data directory.

    Raises:
        EmbeddedDatabaseError: it cannot be written to, is full, or belongs to somebody else.
    """

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "database"
        self.files = self.path / "files"
        for name in _OTHER_DATABASES:
            if (data_dir / name).exists():
                raise EmbeddedDatabaseError(
                    f"{data_dir} is the directory of another database; choose another EVENT_SERVICE_DATA_DIR"
                )
        try:
            self.files.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)
            self._lock: IO[str] = (self.path / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise self._unusable(error) from None
        try:
            self._take_lock()
            self.check_space()
            self.record = self._read_record()
            (self.path / "secantusd.toml").write_text("# Left empty on purpose.\n", encoding="utf-8")
        except OSError as error:
            self._lock.close()
            raise self._unusable(error) from None
        except EmbeddedDatabaseError:
            self._lock.close()
            raise

    @property
    def made_by(self) -> str | None:
        """Name of the program that made the files; None while there are none."""
        return self.record["engine"] if self.record else None

    def claim_for(self, engine: Engine) -> None:
        """Notes which program writes the files.

        Raises:
            EmbeddedDatabaseError: another version of it did.
        """
        if self.record is None:
            self._write("engine.json", {"engine": engine.name, "version": engine.version})
        elif self.record["version"] != engine.version:
            installed, wrote = f"{engine.name} {engine.version}", f"{engine.name} {self.record['version']}"
            remedy = (
                f"pip install '{SECANTUS}=={self.record['version']}'"
                if engine.name == SECANTUS
                else "install that version"
            )
            raise EmbeddedDatabaseError(
                f"{self.files} was written by {wrote}, and {installed} cannot read it; "
                f"{remedy}, or choose another EVENT_SERVICE_DATA_DIR"
            )

    def check_space(self) -> None:
        """Refuses to start on a disk that is as good as full.

        Raises:
            EmbeddedDatabaseError: it is.
        """
        free = shutil.disk_usage(self.path).free
        if free < LEAST_FREE_BYTES:
            raise EmbeddedDatabaseError(
                f"the disk of {self.path} is full: {free // 2**20} MB are free, "
                f"the embedded database needs {LEAST_FREE_BYTES // 2**20} MB to start"
            )

    def note_child(self, pid: int, port: int) -> None:
        """Remembers the running database, so that one that outlives us is found. A full disk does not matter here."""
        with contextlib.suppress(OSError):
            self._write("child.json", {"pid": pid, "port": port})

    def forget_child(self) -> None:
        """The database has ended."""
        with contextlib.suppress(OSError):
            (self.path / "child.json").unlink(missing_ok=True)

    def end_orphan(self, seconds: float) -> int | None:
        """Ends a database that a killed service has left behind. We hold the lock: it is nobody's.

        Args:
            seconds: how long it may take to end by itself before it is killed.

        Returns:
            Its process id, or None if there was none.
        """
        try:
            pid = int(json.loads((self.path / "child.json").read_text(encoding="utf-8"))["pid"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        found = None
        for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
            if not self._is_our_database(pid):
                break
            found = pid
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline = time.monotonic() + patience
            while self._is_our_database(pid) and time.monotonic() < deadline:
                time.sleep(0.05)
        self.forget_child()
        return found

    def release(self) -> None:
        """Lets another service use the directory."""
        self._lock.close()

    def _take_lock(self) -> None:
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

    def _read_record(self) -> dict[str, str] | None:
        file = self.path / "engine.json"
        if not file.exists():
            if any(self.files.iterdir()):
                raise EmbeddedDatabaseError(
                    f"{self.files} holds files that this service did not make; choose another EVENT_SERVICE_DATA_DIR"
                )
            return None
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            known = {"engine": str(record["engine"]), "version": str(record["version"])}
        except (ValueError, TypeError, KeyError):
            known = {"engine": ""}
        if known["engine"] not in (SECANTUS, MONGOD):
            raise EmbeddedDatabaseError(f"{file} does not say what this service writes there")
        return known

    def _write(self, name: str, content: dict[str, Any]) -> None:
        """Replaces a file as a whole: after a crash it is the old one or the new one."""
        new = self.path / f"{name}.new"
        with new.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path / name)

    def _is_our_database(self, pid: int) -> bool:
        return _runs_on(pid, self.files)

    def _unusable(self, error: OSError) -> EmbeddedDatabaseError:
        return EmbeddedDatabaseError(f"{self.path} cannot be used: {error.strerror or error}")


def running_child(data_dir: Path) -> tuple[int, int] | None:
    """Process id and port of the database that runs on a data directory; None if none does."""
    path = data_dir / "database"
    try:
        noted = json.loads((path / "child.json").read_text(encoding="utf-8"))
        pid, port = int(noted["pid"]), int(noted["port"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return (pid, port) if _runs_on(pid, path / "files") else None


def _runs_on(pid: int, files: Path) -> bool:
    """Whether the process runs on these files: process ids are used again for other programs."""
    return str(files) in _command_line(pid)


def _command_line(pid: int) -> list[str] | str:
    """What a process was called with: its words, or one text where words cannot be told apart. Empty if it is gone."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return []
    asked = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout  # noqa: S603
