"""Metrics of several processes on one page."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from event_service.telemetry import siblings
from event_service.telemetry.metrics import Metrics
from event_service.telemetry.siblings import Siblings


@pytest.fixture
def directory() -> Iterator[Path]:
    """Yield a directory with a short path, as sockets need it."""
    path = Path(tempfile.mkdtemp())
    yield path
    shutil.rmtree(path)


@asynccontextmanager
async def joined(directory: Path, number: int) -> AsyncIterator[Metrics]:
    metrics = Metrics("1.2.3")
    own = Siblings(directory, number, metrics.collect)
    await own.start()
    metrics.join(own)
    yield metrics
    await own.stop()


async def values(metrics: Metrics, name: str, **labels: str) -> dict[str, float]:
    """Return the value of a sample by process."""
    text, _ = await metrics.exposition_of_all()
    return {
        sample.labels["process"]: sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    }


async def test_each_process_shows_all(directory: Path) -> None:
    async with joined(directory, 0) as first, joined(directory, 1) as second:
        first.events(stored=3)
        second.events(stored=4)
        second.commit(7, 0.002, failed=False)
        second.watch_reads(lambda: 5)
        for asked in (first, second):
            assert await values(asked, "event_service_events_total", outcome="stored") == {"0": 3, "1": 4}
            assert await values(asked, "event_service_commit_seconds_bucket", le="0.0025") == {"0": 0, "1": 1}
            assert await values(asked, "event_service_reads_pending") == {"0": 0, "1": 5}
            assert (await values(asked, "process_resident_memory_bytes")).keys() == {"0", "1"}


async def test_the_page_is_valid_openmetrics(directory: Path) -> None:
    async with joined(directory, 0) as first, joined(directory, 1) as second:
        second.rpc("/package.Service/get", "OK", 0.004)
        text, content_type = await first.exposition_of_all("application/openmetrics-text")
        assert content_type.startswith("application/openmetrics-text")
        families = {family.name: family for family in openmetrics.text_string_to_metric_families(text.decode())}
        assert families["event_service_rpcs"].type == "counter"
        assert {sample.labels["process"] for sample in families["event_service_build_info"].samples} == {"0", "1"}
        alone = Metrics("1.2.3").exposition()[0].decode()
        assert {line for line in text.decode().splitlines() if line.startswith("# HELP event")} <= {
            line.replace("_total ", " ", 1) for line in alone.splitlines()
        }


async def test_without_other_processes_nothing_is_labelled() -> None:
    metrics = Metrics("1.2.3")
    text, _ = await metrics.exposition_of_all()
    assert b'event_service_events_total{outcome="stored"} 0.0' in text


async def test_processes_that_do_not_answer_are_left_out(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siblings, "SECONDS", 0.05)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"[")
        await reader.read()
        writer.close()

    async with joined(directory, 0) as first, joined(directory, 1):
        (directory / "2.sock").touch()  # of a process that was killed
        async with await asyncio.start_unix_server(hang, directory / "3.sock"):
            assert (await values(first, "event_service_build_info")).keys() == {"0", "1"}
        async with joined(directory, 2):  # it is replaced
            assert (await values(first, "event_service_build_info")).keys() == {"0", "1", "2"}
    assert os.listdir(directory) in ([], ["3.sock"])  # noqa: PTH208
