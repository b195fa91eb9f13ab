"""A database of our own for a machine without MongoDB: a child process that is started, watched and ended here.

For development and small installations. In production EVENT_SERVICE_MONGODB_URI names a replica set.

If the child dies under a running service, it is started again on the same port, and the driver reconnects by itself;
meanwhile the service answers UNAVAILABLE. If the service dies, the child goes with it.
"""

import logging
import threading
from concurrent.futures import Future
from pathlib import Path

from event_service.store.embedded.directory import Directory, DirectoryInUseError, running_child
from event_service.store.embedded.engine import EmbeddedDatabaseError, Engine, choose_engine
from event_service.store.embedded.process import Child, StartFailedError, free_port, owns_listener

__all__ = ["DirectoryInUseError", "EmbeddedDatabase", "EmbeddedDatabaseError", "running_uri"]

log = logging.getLogger(__name__)

_STOP_SECONDS = 20.0
_PORTS_TRIED = 5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds between attempts to start it again

_SIGNS = (
    ("Device or resource busy", "its files are in use by another process"),
    ("No space left on device", "the disk is full"),
    ("Read-only file system", "its directory is read-only"),
    ("Permission denied", "its directory may not be written to"),
)


class EmbeddedDatabase:
    """The embedded database of one service.

    Args:
        data_dir: the service's data directory; made if it is missing.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._stopping = threading.Event()
        self._supervisor: threading.Thread | None = None
        self._child: Child | None = None

    @property
    def uri(self) -> str:
        """Where it listens; the same for as long as the service runs. Only after `start`."""
        return _uri(self._running.port)

    @property
    def pid(self) -> int:
        """Process id of the child; another one after each restart. Only after `start`."""
        return self._running.pid

    def start(self) -> str:
        """Starts the database and waits until it answers, at most about 30 s.

        Returns:
            Its URI.

        Raises:
            EmbeddedDatabaseError: it cannot be started, in one line that says why.
        """
        directory = Directory(self._data_dir.absolute())
        try:
            engine = choose_engine(directory.made_by)
            directory.claim_for(engine)
            if (orphan := directory.end_orphan(_STOP_SECONDS)) is not None:
                log.warning("ended the database that an earlier service had left behind", extra={"pid": orphan})
            started: Future[None] = Future()
            self._supervisor = threading.Thread(
                target=self._supervise, args=(directory, engine, started), name="embedded-database", daemon=True
            )
            self._supervisor.start()
            started.result()
        except OSError as error:
            directory.release()
            raise EmbeddedDatabaseError(f"{directory.path} cannot be used: {error.strerror or error}") from None
        except BaseException:
            directory.release()
            raise
        log.info(
            "the embedded database is ready: for development and small installations; "
            "set EVENT_SERVICE_MONGODB_URI for production",
            extra={"engine": f"{engine.name} {engine.version}", "files": str(directory.files), "pid": self.pid},
        )
        return self.uri

    def stop(self) -> None:
        """Ends the database: asked to, and killed after 20 s. Returns when it is gone. May be called twice."""
        self._stopping.set()
        if self._supervisor is None:
            return
        if (child := self._child) is not None:
            child.terminate()
        self._supervisor.join(_STOP_SECONDS)
        if self._supervisor.is_alive():
            log.error("the embedded database does not end; killing it")
            if (child := self._child) is not None:
                child.kill()
            self._supervisor.join(5)

    @property
    def _running(self) -> Child:
        if self._child is None:
            raise RuntimeError("the embedded database has not been started")
        return self._child

    # --- in the supervisor's thread: the child lives no longer than the thread that started it ---------------

    def _supervise(self, directory: Directory, engine: Engine, started: "Future[None]") -> None:
        try:
            self._first_start(directory, engine)
        except BaseException as error:
            directory.forget_child()
            started.set_exception(error)
            return
        started.set_result(None)
        try:
            while True:
                status = self._running.wait()
                if self._stopping.is_set() or not self._start_again(directory, engine, status):
                    return
        finally:
            directory.forget_child()
            directory.release()

    def _first_start(self, directory: Directory, engine: Engine) -> None:
        failure: StartFailedError | None = None
        for _ in range(_PORTS_TRIED):
            try:
                return self._run(directory, engine, free_port())
            except StartFailedError as error:
                failure = error
                if not error.port_taken:
                    break
        raise EmbeddedDatabaseError(f"the embedded database ({engine.name}) does not start: {_in_words(failure)}")

    def _start_again(self, directory: Directory, engine: Engine, status: int | None) -> bool:
        """Starts the child until it runs again, on its old port. False if the service is stopped meanwhile."""
        log.error(
            "the embedded database has died; starting it again",
            extra={"exit_status": status, "reason": _reason(self._running.last_lines) or "unknown"},
        )
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                directory.check_space()
                self._run(directory, engine, self._running.port)
            except (StartFailedError, EmbeddedDatabaseError, OSError) as error:
                log.error("the embedded database does not start", extra={"reason": _in_words(error)})  # noqa: TRY400
            else:
                log.warning("the embedded database is back", extra={"pid": self.pid})
                return True
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return False

    def _run(self, directory: Directory, engine: Engine, port: int) -> None:
        child = Child(engine, directory.files, port)
        directory.note_child(child.pid, port)
        child.wait_until_ready(self._stopping)
        self._child = child


def running_uri(data_dir: Path) -> str | None:
    """Where the database of the service that is running on this data directory listens; None if none does."""
    child = running_child(data_dir.absolute())
    return _uri(child[1]) if child is not None and owns_listener(*child) else None


def _uri(port: int) -> str:
    return f"mongodb://127.0.0.1:{port}/?directConnection=true"


def _in_words(error: Exception | None) -> str:
    return (_reason(error.output) if isinstance(error, StartFailedError) else None) or str(error)


def _reason(output: list[str]) -> str | None:
    """Why it ended, if its last words are known ones."""
    return next((words for sign, words in _SIGNS if any(sign in line for line in output)), None)
