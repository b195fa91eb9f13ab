"""The processes of a parent: started, replaced, stopped."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from event_service.cli import supervisor
from event_service.cli.supervisor import WorkerFailed, WorkerProcess
from event_service.worker import VARIABLE, Worker, process_count
from tests.waiting import until

SERVES = """
import signal, sys
from event_service.worker import Worker
worker = Worker.of_this_process()
worker.die_with_parent()
{before}
worker.announce(worker.grpc_address, f"http://{{worker.http_address}}")
signal.pause()
"""


@asynccontextmanager
async def process(script: str) -> AsyncIterator[WorkerProcess]:
    """Yield a process that runs a script, not started, and stop it."""
    made = WorkerProcess(
        lambda control: Worker(0, "127.0.0.1:1", "127.0.0.1:2", "", "", control), [sys.executable, "-c", script]
    )
    yield made
    await made.stop(5)


def serving(before: str = "") -> str:
    return SERVES.format(before=before)


def pid(made: WorkerProcess) -> int:
    assert made._process is not None
    return made._process.pid


async def test_a_start_ends_when_the_worker_serves() -> None:
    async with process(serving()) as made:
        await made.start()
        assert (made.grpc, made.http) == ("127.0.0.1:1", "http://127.0.0.1:2")
        assert made._process is not None
        await made.stop(5)
        assert made._process.returncode == -signal.SIGTERM


async def test_a_worker_that_does_not_start_is_reported_with_its_status() -> None:
    async with process(serving("sys.exit(2)")) as made:
        with pytest.raises(WorkerFailed) as failed:
            await made.start()
        assert failed.value.status == 2


async def test_a_worker_that_dies_is_replaced_also_if_the_next_one_dies_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_MIN_BACKOFF", 0.01)
    fails = tmp_path / "fails"
    died = f"import os, pathlib\nif pathlib.Path({str(fails)!r}).exists():\n    os.remove({str(fails)!r}); sys.exit(3)"
    async with process(serving(died)) as made:
        await made.start()
        first, made.grpc = pid(made), ""
        running = asyncio.ensure_future(made.keep_running())
        fails.touch()
        os.kill(first, signal.SIGKILL)
        await until(lambda: made.grpc)
        assert not fails.exists()
        assert pid(made) != first
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_pause_between_starts_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            raise asyncio.CancelledError

    async def start() -> None:
        raise WorkerFailed(1)

    async with process("") as made:
        with pytest.raises(WorkerFailed):
            await made.start()
        monkeypatch.setattr(asyncio, "sleep", sleep)
        monkeypatch.setattr(made, "start", start)
        with pytest.raises(asyncio.CancelledError):
            await made.keep_running()
        assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
        pauses.clear()
        monkeypatch.setattr(supervisor, "_STABLE_SECONDS", -1)
        with pytest.raises(asyncio.CancelledError):
            await made.keep_running()
        assert set(pauses) == {0.1}


async def test_a_worker_that_does_not_stop_is_killed() -> None:
    async with process(serving("signal.signal(signal.SIGTERM, signal.SIG_IGN)")) as made:
        await made.start()
        await made.stop(0.1)
        assert made._process is not None
        assert made._process.returncode == -signal.SIGKILL


async def test_a_worker_ends_with_its_parent() -> None:
    async with process(serving()) as made:
        await made.start()
        assert made._process is not None
        assert made._control is not None
        made._control.close()
        assert await made._process.wait() == 1


def test_a_worker_is_described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Worker.of_this_process() is None
    worker = Worker(1, "127.0.0.1:1", "127.0.0.1:2", "mongodb://%2Ftmp", "/tmp/x", 7)
    for name, value in worker.environment().items():
        monkeypatch.setenv(name, value)
    assert Worker.of_this_process() == worker
    assert VARIABLE not in os.environ
    assert worker.overrides() == {"grpc_address": "127.0.0.1:1", "http_address": "127.0.0.1:2"}


def test_workers_are_told_apart_in_exported_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "OTEL_RESOURCE_ATTRIBUTES"
    monkeypatch.delenv(name, raising=False)
    assert supervisor._instance()[name] != supervisor._instance()[name]
    monkeypatch.setenv(name, "service.namespace=shop")
    assert supervisor._instance()[name].startswith("service.namespace=shop,service.instance.id=")
    monkeypatch.setenv(name, "service.instance.id=own")
    assert supervisor._instance() == {}


@pytest.mark.parametrize("long", [False, True])
def test_the_directory_of_sockets_is_private_and_short(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, long: bool
) -> None:
    base = tmp_path / ("x" * 100 if long else "x")
    base.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(base))
    made = Path(supervisor._make_directory())
    assert made.stat().st_mode & 0o777 == 0o700
    assert len(str(made / "255.sock")) <= 107  # what the address of a Unix socket holds
    made.rmdir()


def test_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 5}, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert [process_count(number) for number in (0, 1, 4)] == [3, 1, 4]
