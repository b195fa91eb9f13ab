"""The embedded database's life: started, watched, killed, left behind, and in all the wrong places."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from event_service.settings import Settings
from event_service.store.client import Database, close, connect
from event_service.store.embedded import database as embedded_module
from event_service.store.embedded.database import EmbeddedDatabase, EmbeddedDatabaseError
from event_service.store.embedded.engine import SECANTUS, Engine, choose_engine
from event_service.store.embedded.process import free_port, owns_listener
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def running(data_dir: Path) -> Iterator[EmbeddedDatabase]:
    database = EmbeddedDatabase(data_dir)
    try:
        database.start()
    except EmbeddedDatabaseError as error:
        pytest.skip(f"embedded: {error}")
    yield database
    database.stop()


@pytest.fixture
def connected(running: EmbeddedDatabase) -> Iterator[Database]:
    database = connect(Settings(), running.uri)
    yield database
    close(database)


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def refusal(data_dir: Path) -> str:
    """The one line with which a start on this directory is refused."""
    with pytest.raises(EmbeddedDatabaseError) as caught:
        EmbeddedDatabase(data_dir).start()
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


# --- start and stop --------------------------------------------------------------------------------------------


def test_it_starts_answers_and_stops(data_dir: Path) -> None:
    database = EmbeddedDatabase(data_dir)
    uri = database.start()
    pid = database.pid
    assert uri.startswith("mongodb://127.0.0.1:")
    with MongoClient[dict[str, object]](uri) as client:
        client["monitoring"]["event"].insert_one({"_id": 1})
    database.stop()
    database.stop()
    assert not alive(pid)
    assert not (data_dir / "database" / "child.json").exists()
    again = EmbeddedDatabase(data_dir)
    with MongoClient[dict[str, object]](again.start()) as client:
        assert client["monitoring"]["event"].find_one() == {"_id": 1}
    again.stop()


def test_two_live_side_by_side(tmp_path: Path, running: EmbeddedDatabase) -> None:
    other = EmbeddedDatabase(tmp_path / "other")
    assert other.start() != running.uri
    other.stop()
    assert alive(running.pid)


def test_its_directory_is_private(running: EmbeddedDatabase, data_dir: Path) -> None:
    assert stat.S_IMODE((data_dir / "database").stat().st_mode) == 0o700


def test_stop_without_start_is_nothing(data_dir: Path) -> None:
    EmbeddedDatabase(data_dir).stop()
    assert not data_dir.exists()


def test_ctrl_c_at_the_terminal_is_not_for_the_database(running: EmbeddedDatabase) -> None:
    assert os.getpgid(running.pid) != os.getpgid(0)


# --- ports -----------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_meanwhile_is_given_up_for_another(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = [taken.getsockname()[1], free_port()]
        monkeypatch.setattr(embedded_module, "free_port", lambda: ports.pop(0))
        database = EmbeddedDatabase(data_dir)
        database.start()
        assert ports == []
        database.stop()
        taken.settimeout(0.05)
        with pytest.raises(TimeoutError):  # the stranger was not sent anything
            taken.accept()


def test_only_the_childs_own_listener_counts(running: EmbeddedDatabase) -> None:
    port = int(running.uri.split(":")[2].split("/")[0])
    assert owns_listener(running.pid, port)
    assert not owns_listener(os.getpid(), port)
    assert not owns_listener(running.pid, free_port())


def test_ports_lie_below_those_of_outgoing_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(20_000 <= free_port() < first for _ in range(20))


# --- wrong places ----------------------------------------------------------------------------------------------


def test_a_directory_in_use_is_refused_and_left_alone(running: EmbeddedDatabase, data_dir: Path) -> None:
    assert f"in use by another event-service (process {os.getpid()})" in refusal(data_dir)
    assert alive(running.pid)


def test_files_in_use_by_a_stranger_are_refused(running: EmbeddedDatabase, data_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "database"
    other.mkdir(parents=True)
    (other / "engine.json").write_text((data_dir / "database" / "engine.json").read_text())
    (other / "files").symlink_to(data_dir / "database" / "files")
    assert "in use by another process" in refusal(tmp_path / "other")
    assert alive(running.pid)


def test_another_version_is_refused(running: EmbeddedDatabase, data_dir: Path) -> None:
    running.stop()
    record = data_dir / "database" / "engine.json"
    record.write_text(json.dumps({"engine": SECANTUS, "version": "0.6.0"}))
    text = refusal(data_dir)
    assert f"was written by {SECANTUS} 0.6.0" in text
    assert f"pip install '{SECANTUS}==0.6.0'" in text


@pytest.mark.parametrize("content", ["", "{", "[]", '{"engine": "rocks", "version": "1"}', '{"engine": "SecantusDB"}'])
def test_a_damaged_record_is_refused(data_dir: Path, content: str) -> None:
    (data_dir / "database").mkdir(parents=True)
    (data_dir / "database" / "engine.json").write_text(content)
    assert "engine.json" in refusal(data_dir)


def test_somebody_elses_files_are_refused(data_dir: Path) -> None:
    (data_dir / "database" / "files").mkdir(parents=True)
    (data_dir / "database" / "files" / "holiday.jpg").touch()
    assert "did not make" in refusal(data_dir)


def test_the_directory_of_another_database_is_refused(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "WiredTiger").touch()
    assert "another database" in refusal(data_dir)


@pytest.mark.parametrize("place", ["/proc/event-service", "/dev/null", "/sys/event-service"])
def test_a_place_that_cannot_be_written_to_is_refused(place: str) -> None:
    assert f"{place}/database cannot be used: " in refusal(Path(place))


def test_files_that_are_not_a_database_are_refused_by_the_database(running: EmbeddedDatabase, data_dir: Path) -> None:
    running.stop()
    (data_dir / "database" / "files" / "WiredTiger.turtle").write_text("nonsense")
    assert "does not start" in refusal(data_dir)


def test_a_refused_start_leaves_nothing_behind(data_dir: Path) -> None:
    (data_dir / "database" / "files").mkdir(parents=True)
    stranger = data_dir / "database" / "files" / "holiday.jpg"
    stranger.touch()
    threads = threading.active_count()
    refusal(data_dir)
    stranger.unlink()
    assert threading.active_count() == threads
    database = EmbeddedDatabase(data_dir)  # the lock is free again
    database.start()
    database.stop()


# --- engines ---------------------------------------------------------------------------------------------------


def test_without_an_engine_the_remedy_is_named(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("event_service.store.embedded.engine.SECANTUS", "no-such-distribution")
    text = refusal(data_dir)
    assert "pip install 'event-service[embedded]'" in text
    assert "EVENT_SERVICE_MONGODB_URI" in text


def test_mongod_is_preferred_for_new_directories_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mongod"
    program.write_text("#!/bin/sh\necho 'db version v8.0.4'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    engine = choose_engine(None)
    assert (engine.name, engine.version) == ("mongod", "8.0")
    assert engine.command(Path("/files"), 27_017)[:3] == [str(program), "--dbpath", "/files"]
    assert choose_engine(SECANTUS).name == SECANTUS
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EmbeddedDatabaseError, match="made by mongod"):
        choose_engine("mongod")


def test_the_environment_cannot_switch_durability_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECANTUS_TEST_FAST_STORAGE", "1")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    environment = choose_engine(SECANTUS).environment
    assert "SECANTUS_TEST_FAST_STORAGE" not in environment
    assert "PYTHONPATH" not in environment
    assert "PATH" in environment


def test_a_database_that_does_not_start_says_why(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Engine("Failing", "1", lambda _, __: ["/bin/sh", "-c", "echo out of luck; exit 3"], dict(os.environ))
    monkeypatch.setattr(embedded_module, "choose_engine", lambda _: failing)
    assert refusal(data_dir).endswith("(Failing) does not start: it exited with status 3: out of luck")


# --- death -----------------------------------------------------------------------------------------------------

SERVICE = textwrap.dedent(
    """
    import sys, threading, time
    from pathlib import Path
    from event_service.store.embedded.database import EmbeddedDatabase
    database = EmbeddedDatabase(Path(sys.argv[1]))
    # Not from the main thread: the child's life must not hang on the thread that asked for it.
    starter = threading.Thread(target=database.start)
    starter.start()
    starter.join()
    print(database.pid, database.uri, flush=True)
    time.sleep(60)
    """
)


def test_it_does_not_outlive_a_killed_service(data_dir: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVICE, str(data_dir)], stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        pid, uri = service.stdout.readline().split()
        try:
            written = connect(Settings(), uri)
            written["event"].insert_one({"_id": 1})
            close(written)
            assert alive(int(pid))
        finally:
            service.kill()
    wait_until(lambda: not alive(int(pid)), 2)
    database = EmbeddedDatabase(data_dir)
    with MongoClient[dict[str, object]](database.start()) as client:
        assert client["monitoring"]["event"].find_one() == {"_id": 1}
    database.stop()


def test_an_orphan_is_ended_at_the_next_start(data_dir: Path) -> None:
    """Where the kernel has no death signal, the pid file finds what a killed service has left."""
    files = data_dir / "database" / "files"
    files.mkdir(parents=True)
    engine = choose_engine(SECANTUS)
    (files.parent / "secantusd.toml").touch()
    (files.parent / "engine.json").write_text(json.dumps({"engine": engine.name, "version": engine.version}))
    orphan = subprocess.Popen(engine.command(files, free_port()), env=engine.environment)
    (files.parent / "child.json").write_text(json.dumps({"pid": orphan.pid, "port": 1}))
    reaper = threading.Thread(target=orphan.wait)
    reaper.start()
    try:
        database = EmbeddedDatabase(data_dir)
        database.start()
        assert database.pid != orphan.pid
        assert not alive(orphan.pid)
        database.stop()
    finally:
        orphan.kill()
        reaper.join()


def test_a_process_that_only_has_the_same_number_is_left_alone(data_dir: Path) -> None:
    (data_dir / "database").mkdir(parents=True)
    with subprocess.Popen(["/bin/sleep", "60"]) as bystander:
        (data_dir / "database" / "child.json").write_text(json.dumps({"pid": bystander.pid, "port": 1}))
        database = EmbeddedDatabase(data_dir)
        database.start()
        database.stop()
        assert bystander.poll() is None
        bystander.kill()


def test_it_comes_back_on_its_port_when_it_is_killed(running: EmbeddedDatabase, connected: Database) -> None:
    uri, pid = running.uri, running.pid
    connected["event"].insert_one({"_id": 1})
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: running.pid != pid)
    assert running.uri == uri
    wait_until(lambda: can_write(connected), 3)
    assert connected["event"].find_one({"_id": 1}) is not None


def test_it_can_be_stopped_while_it_comes_back(running: EmbeddedDatabase) -> None:
    pid = running.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid))
    started = time.monotonic()
    running.stop()
    assert time.monotonic() - started < 5
    assert not alive(running.pid)


def can_write(database: Database) -> bool:
    try:
        database["probe"].insert_one({})
    except PyMongoError:
        return False
    return True


def test_kill_9_under_eight_writers_loses_nothing_that_was_acknowledged(
    running: EmbeddedDatabase, connected: Database
) -> None:
    """Three rounds; each writer retries what failed under the same `_id`, as a sender with an idempotency key does."""
    events = connected["event"]
    acknowledged: list[set[str]] = [set() for _ in range(8)]
    stop = threading.Event()

    def write(writer: int) -> None:
        number = 0
        while not stop.is_set():
            name = f"{writer}-{number}"
            try:
                events.update_one({"_id": name}, {"$set": {"writer": writer}}, upsert=True)
            except PyMongoError:
                continue
            acknowledged[writer].add(name)
            number += 1

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in writers:
        thread.start()
    try:
        for _ in range(3):
            before = [len(names) for names in acknowledged]
            wait_until(lambda before=before: all(len(new) > old for new, old in zip(acknowledged, before, strict=True)))
            pid = running.pid
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: running.pid != pid)
    finally:
        stop.set()
        for thread in writers:
            thread.join()
    wait_until(lambda: can_write(connected))
    stored = {row["_id"] for row in events.find({}, {"_id": True})}
    expected = set().union(*acknowledged)
    assert len(expected) > 24
    assert expected - stored == set()


# --- a full disk -----------------------------------------------------------------------------------------------

FULL_DISK = textwrap.dedent(
    """
    import os, sys, time
    from pathlib import Path
    from pymongo.errors import PyMongoError
    from event_service.errors import Unavailable
    from event_service.settings import Settings
    from event_service.store.client import connect
    from event_service.store.embedded.database import EmbeddedDatabase, EmbeddedDatabaseError
    from event_service.store.failures import database_errors

    place = Path(sys.argv[1])
    database = EmbeddedDatabase(place / "data")
    events = connect(Settings(), database.start())["event"]
    stored = 0
    with (place / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(1 << 16))
        except OSError:
            pass
    try:
        while True:
            with database_errors(writing=True):
                events.insert_one({"_id": stored, "bytes": os.urandom(100_000)})
            stored += 1
    except Unavailable as error:
        assert error.retry_after
    time.sleep(0.5)
    try:
        with database_errors():
            events.find_one()
        raise SystemExit("a database on a full disk answered")
    except Unavailable:
        pass
    (place / "filler").unlink()
    deadline = time.monotonic() + 10
    while True:
        try:
            found = events.count_documents({})
            break
        except PyMongoError:
            assert time.monotonic() < deadline
    assert found >= stored, (found, stored)
    events.insert_one({"_id": "afterwards"})
    database.stop()

    with (place / "filler").open("wb", buffering=0) as filler:
        filler.write(bytes(40 << 20))
    try:
        EmbeddedDatabase(place / "data").start()
        raise SystemExit("it started on a full disk")
    except EmbeddedDatabaseError as error:
        print(error)
    """
)


def test_a_full_disk_is_unavailable_while_it_lasts(tmp_path: Path) -> None:
    """On a small file system of its own, which takes a mount namespace."""
    mounted = f'mount -t tmpfs -o size=100m tmpfs {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}'
    probe = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], check=False)
    if probe.returncode != 0:
        pytest.skip("embedded: this system lets nobody mount a small disk to fill (unshare -rm)")
    finished = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted, FULL_DISK], capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert "is full" in finished.stdout
