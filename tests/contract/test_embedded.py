"""The embedded database: start, stop, restarts, orphans and unusable directories."""

import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from event_service.settings import Settings
from event_service.store.client import Database, close, connect
from event_service.store.embedded.database import EmbeddedDatabase, EmbeddedDatabaseError, running_uri
from event_service.store.embedded.mongod import command_line, exit_reason, find_mongod
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def running(data_dir: Path) -> Iterator[EmbeddedDatabase]:
    database = EmbeddedDatabase(data_dir)
    database.start()
    yield database
    database.stop()


@pytest.fixture
def connected(running: EmbeddedDatabase) -> Iterator[Database]:
    database = connect(Settings(), running.uri)
    yield database
    close(database)


def alive(pid: int) -> bool:
    """Return whether the process runs and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def sockets_of(pid: int) -> set[str]:
    """Return the listening sockets of a process: Unix paths, and HOST:PORT in hexadecimal for TCP."""
    own = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()}
    unix = [row.split() for row in Path("/proc/net/unix").read_text().splitlines()[1:]]
    tcp = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listening = {row[7] for row in unix if len(row) > 7 and f"socket:[{row[6]}]" in own and row[3] == "00010000"}
    return listening | {row[1] for row in tcp if f"socket:[{row[9]}]" in own}


def refusal(data_dir: Path) -> str:
    """Return the one-line error of a start on this directory."""
    with pytest.raises(EmbeddedDatabaseError) as caught:
        EmbeddedDatabase(data_dir).start()
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


# --- start and stop --------------------------------------------------------------------------------------------


def test_starts_answers_and_stops(data_dir: Path) -> None:
    database = EmbeddedDatabase(data_dir)
    uri = database.start()
    pid = database.pid
    with MongoClient[dict[str, object]](uri) as client:
        client["monitoring"]["event"].insert_one({"_id": 1})
    database.stop()
    database.stop()
    assert not alive(pid)
    again = EmbeddedDatabase(data_dir)
    with MongoClient[dict[str, object]](again.start()) as client:
        assert client["monitoring"]["event"].find_one() == {"_id": 1}
    again.stop()


def test_replica_set_with_change_streams_and_transactions(connected: Database) -> None:
    events = connected["event"]
    with events.watch(max_await_time_ms=5_000) as stream:
        with connected.client.start_session() as session, session.start_transaction():
            events.insert_one({"_id": 1}, session=session)
        assert next(stream)["documentKey"] == {"_id": 1}


def test_listens_on_its_private_socket_only(running: EmbeddedDatabase, data_dir: Path) -> None:
    path = data_dir / "database" / "mongod.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sockets_of(running.pid) == {str(path)}


def test_long_path_gets_a_socket_in_a_private_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_dir = tmp_path / ("long" * 30)
    with tempfile.TemporaryDirectory() as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        database = EmbeddedDatabase(data_dir)
        database.start()
        (folder,) = Path(runtime).iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert sockets_of(database.pid) == {str(folder / "mongod.sock")}
        assert running_uri(data_dir) == database.uri
        database.stop()
        folder.chmod(0o777)
        assert "open to others" in refusal(data_dir)


def test_moved_directory_is_served(running: EmbeddedDatabase, data_dir: Path) -> None:
    with MongoClient[dict[str, object]](running.uri) as client:
        client["monitoring"]["event"].insert_one({"_id": 1})
    running.stop()
    moved = EmbeddedDatabase(data_dir.rename(data_dir.with_name("moved, by: hand")))
    with MongoClient[dict[str, object]](moved.start()) as client:
        assert client["monitoring"]["event"].find_one() == {"_id": 1}
    moved.stop()


def test_files_of_the_previous_version_are_upgraded(running: EmbeddedDatabase, data_dir: Path) -> None:
    asked = {"getParameter": 1, "featureCompatibilityVersion": 1}
    with MongoClient[dict[str, Any]](running.uri) as client:
        major, minor = client.server_info()["versionArray"][:2]
        client.admin.command({"setFeatureCompatibilityVersion": f"{major - 1}.0"})
    running.stop()
    again = EmbeddedDatabase(data_dir)
    with MongoClient[dict[str, Any]](again.start()) as client:
        assert client.admin.command(asked)["featureCompatibilityVersion"] == {"version": f"{major}.{minor}"}
    again.stop()


def test_two_databases_run_side_by_side(tmp_path: Path, running: EmbeddedDatabase) -> None:
    other = EmbeddedDatabase(tmp_path / "other")
    assert other.start() != running.uri
    other.stop()
    assert alive(running.pid)


def test_directory_is_private(running: EmbeddedDatabase, data_dir: Path) -> None:
    assert stat.S_IMODE((data_dir / "database").stat().st_mode) == 0o700


def test_stop_without_start(data_dir: Path) -> None:
    EmbeddedDatabase(data_dir).stop()
    assert not data_dir.exists()


def test_ctrl_c_does_not_reach_mongod(running: EmbeddedDatabase) -> None:
    assert os.getpgid(running.pid) != os.getpgid(0)


# --- wrong places ----------------------------------------------------------------------------------------------


def test_directory_in_use_is_refused(running: EmbeddedDatabase, data_dir: Path) -> None:
    assert f"in use by another event-service (process {os.getpid()})" in refusal(data_dir)
    assert alive(running.pid)


def test_files_in_use_by_another_mongod_are_refused(running: EmbeddedDatabase, data_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "database"
    other.mkdir(parents=True)
    (other / "files").symlink_to(data_dir / "database" / "files")
    assert "in use by another mongod" in refusal(tmp_path / "other")
    assert alive(running.pid)


@pytest.mark.parametrize("trace", ["engine.json", "files/secantus_collections.wt"])
def test_a_directory_of_secantusdb_is_refused_with_the_way_out(data_dir: Path, trace: str) -> None:
    (data_dir / "database" / "files").mkdir(parents=True)
    (data_dir / "database" / trace).touch()
    text = refusal(data_dir)
    assert "SecantusDB" in text
    assert "db backup" in text
    assert "db restore" in text


def test_foreign_files_are_refused(data_dir: Path) -> None:
    (data_dir / "database" / "files").mkdir(parents=True)
    (data_dir / "database" / "files" / "holiday.jpg").touch()
    assert "not MongoDB's" in refusal(data_dir)


def test_directory_of_another_mongodb_is_refused(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "WiredTiger").touch()
    assert "another MongoDB" in refusal(data_dir)


@pytest.mark.parametrize("place", ["/proc/event-service", "/dev/null", "/sys/event-service"])
def test_unwritable_directory_is_refused(place: str) -> None:
    assert f"{place}/database is not usable: " in refusal(Path(place))


def test_corrupt_files_are_refused_with_the_reason(running: EmbeddedDatabase, data_dir: Path) -> None:
    running.stop()
    (data_dir / "database" / "files" / "WiredTiger.turtle").write_text("nonsense")
    assert "does not start" in refusal(data_dir)


def test_refused_start_leaves_no_process(data_dir: Path) -> None:
    (data_dir / "database" / "files").mkdir(parents=True)
    foreign_file = data_dir / "database" / "files" / "holiday.jpg"
    foreign_file.touch()
    threads = threading.active_count()
    refusal(data_dir)
    foreign_file.unlink()
    assert threading.active_count() == threads
    database = EmbeddedDatabase(data_dir)  # the lock is free again
    database.start()
    database.stop()


# --- programs --------------------------------------------------------------------------------------------------


def test_missing_program_names_three_ways_to_get_one(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("event_service.store.embedded.mongod._WHEELS", ("no-such-distribution",))
    text = refusal(data_dir)
    for way in ("EVENT_SERVICE_MONGODB_URI", "EVENT_SERVICE_MONGOD", "pip install 'event-service[embedded]'"):
        assert way in text
    assert not data_dir.exists()


def test_setting_precedes_path_and_path_precedes_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    wheel = find_mongod()
    assert wheel.parts[-4:] == ("fiftyone", "db", "bin", "mongod")
    on_path, named = tmp_path / "mongod", tmp_path / "mongod-8"
    for program in (on_path, named):
        program.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_mongod() == on_path
    assert find_mongod("mongod-8") == named
    with pytest.raises(EmbeddedDatabaseError, match="EVENT_SERVICE_MONGOD: mongod-9"):
        find_mongod("mongod-9")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo out of luck; exit 3", "it exited with status 3: out of luck"),
        ("exit 3", "it exited with status 3: it gave no reason"),
        ("kill -ILL $$", "AVX"),
        (
            "echo 'mongod: error while loading shared libraries: libcurl.so.4: cannot open it'; exit 127",
            "the library libcurl.so.4 is missing; install Debian's package libcurl4",
        ),
    ],
)
def test_failed_start_names_the_reason(data_dir: Path, tmp_path: Path, script: str, reason: str) -> None:
    program = tmp_path / "mongod"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(EmbeddedDatabaseError, match=re.escape(reason)):
        EmbeddedDatabase(data_dir, mongod=str(program)).start()


def test_unknown_cause_quotes_the_first_error() -> None:
    output = [
        '{"s": "I", "msg": "starting"}',
        '{"s": "F", "msg": "no", "attr": {"why": 1}}',
        '{"s": "F", "msg": "abort"}',
    ]
    assert exit_reason(14, output) == 'it exited with status 14: no: {"why": 1}'


def test_information_is_not_taken_for_the_cause() -> None:
    line = '{"s":"I","msg":"current featureCompatibilityVersion value","attr":{"featureCompatibilityVersion":"unset"}}'
    assert exit_reason(1, [line, "out of luck"]) == "it exited with status 1: out of luck"


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


def test_mongod_dies_with_a_killed_service(data_dir: Path) -> None:
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


def test_orphan_is_stopped_at_the_next_start(running: EmbeddedDatabase, data_dir: Path) -> None:
    """Without a death signal, mongod.lock identifies the mongod of a killed service."""
    running.stop()
    folder = data_dir / "database"
    command = command_line(find_mongod(), folder / "files", folder / "mongod.sock", 256)
    orphan = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    reaper = threading.Thread(target=orphan.wait)
    reaper.start()
    try:
        wait_until(lambda: running_uri(data_dir) is not None)
        database = EmbeddedDatabase(data_dir)
        database.start()
        assert database.pid != orphan.pid
        assert not alive(orphan.pid)
        database.stop()
    finally:
        orphan.kill()
        reaper.join()


def test_unrelated_process_with_the_same_pid_is_not_stopped(running: EmbeddedDatabase, data_dir: Path) -> None:
    running.stop()
    with subprocess.Popen(["/bin/sleep", "60"]) as bystander:
        (data_dir / "database" / "files" / "mongod.lock").write_text(f"{bystander.pid}\n")
        database = EmbeddedDatabase(data_dir)
        database.start()
        database.stop()
        assert bystander.poll() is None
        bystander.kill()


def test_killed_mongod_is_restarted_on_the_same_socket(running: EmbeddedDatabase, connected: Database) -> None:
    uri, pid = running.uri, running.pid
    connected["event"].insert_one({"_id": 1})
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: running.pid != pid)
    assert running.uri == uri
    wait_until(lambda: can_write(connected), 3)
    assert connected["event"].find_one({"_id": 1}) is not None


def test_stop_during_a_restart(running: EmbeddedDatabase) -> None:
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


def test_kill_9_under_eight_writers_loses_no_acknowledged_write(running: EmbeddedDatabase, connected: Database) -> None:
    """Three rounds; writers retry under the same `_id`, as senders do under the same idempotency key."""
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
    from event_service.store.driver_errors import database_errors

    place = Path(sys.argv[1])
    database = EmbeddedDatabase(place / "data")
    events = connect(Settings(), database.start())["event"]
    events.insert_one({"_id": "before"})
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
    (place / "filler").unlink()
    deadline = time.monotonic() + 30
    while True:
        try:
            events.insert_one({"_id": "afterwards"})
            break
        except PyMongoError:
            assert time.monotonic() < deadline
    found = events.count_documents({})
    assert found > stored, (found, stored)
    database.stop()

    with (place / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(1 << 16))
        except OSError:
            pass
    try:
        EmbeddedDatabase(place / "data").start()
        raise SystemExit("it started on a full disk")
    except EmbeddedDatabaseError as error:
        print(error)
    """
)


def test_full_disk_is_unavailable_until_space_is_freed(tmp_path: Path) -> None:
    """Runs on a small file system in a mount namespace."""
    mounted = f'mount -t tmpfs -o size=150m tmpfs {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}'
    probe = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], check=False)
    if probe.returncode != 0:
        pytest.skip("embedded: this system does not allow mounting a small disk (unshare -rm)")
    finished = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted, FULL_DISK], capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert "is full" in finished.stdout
