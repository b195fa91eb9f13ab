"""Detection of a database that is unreachable, silent or slow, and of its return; no call waits long."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from event_service.concurrency.group_commit import GroupCommit
from event_service.concurrency.thread_pool import ThreadPool
from event_service.errors import Unavailable
from event_service.settings import Settings
from event_service.store.client import Database, close, connect, time_limit
from event_service.store.database_clock import DatabaseClock
from event_service.store.driver_errors import database_errors
from event_service.store.health_check import HealthCheck, State
from tests.contract.tcp_proxy import TcpProxy
from tests.waiting import until


@dataclass
class Bench:
    """The parts of a service that depend on the database, behind a proxy."""

    database: Database
    proxy: TcpProxy
    health: HealthCheck
    threads: ThreadPool
    writer: GroupCommit[dict[str, Any], str]
    changes: list[bool] = field(default_factory=list)

    def read(self) -> Awaitable[Any]:
        return self.threads.run(self._read)

    def write(self, document: dict[str, Any]) -> Awaitable[str]:
        return self.writer.submit(document)

    def _read(self) -> Any:
        with database_errors():
            return self.database["event"].find_one({})


@pytest.fixture
def proxy(mongodb_uri: str) -> Iterator[TcpProxy]:
    proxy = TcpProxy.of_uri(mongodb_uri)
    yield proxy
    proxy.close()


@pytest.fixture
async def bench(proxy: TcpProxy) -> AsyncIterator[Bench]:
    database = connect(Settings(database="health_check"), f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true")

    def commit(batch: Any) -> list[str]:
        with database_errors(writing=True):
            database["event"].insert_many(batch, ordered=False)
        return ["stored"] * len(batch)

    changes: list[bool] = []
    threads = ThreadPool(4)
    writer: GroupCommit[dict[str, Any], str] = GroupCommit(commit, time_limit=time_limit)
    health = HealthCheck(database, DatabaseClock(), on_change=changes.append, suspendables=[threads, writer])
    await health.start()
    assert health.serving
    assert changes == [True]
    yield Bench(database, proxy, health, threads, writer, changes)
    await health.stop()
    await writer.close(1)
    threads.close()
    proxy.silent, proxy.delay = False, 0.0
    close(database)


async def ended(call: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    """Return how many seconds a call took, and its result or error."""
    started = time.monotonic()
    try:
        outcome: Any = await call()
    except Exception as error:
        outcome = error
    return time.monotonic() - started, outcome


async def first_success(call: Callable[[], Awaitable[Any]], seconds: float) -> float:
    """Retry a call and return the seconds until it succeeded."""
    started = time.monotonic()
    while True:
        try:
            await call()
        except Unavailable:
            assert time.monotonic() - started < seconds, "not in time"
            await asyncio.sleep(0.02)
        else:
            return time.monotonic() - started


async def test_readiness_follows_loss_and_return_of_the_database(bench: Bench) -> None:
    bench.proxy.close()
    await until(lambda: not bench.health.serving, 1.5)
    await until(lambda: bench.health.state is State.UNREACHABLE, 1.5)
    seconds, error = await ended(bench.read)
    assert isinstance(error, Unavailable)
    assert error.retry_after
    assert seconds < 0.1, "calls fail immediately while the database is unreachable"
    seconds, error = await ended(lambda: bench.write({}))
    assert isinstance(error, Unavailable)
    assert seconds < 0.1
    bench.proxy.open()
    assert await first_success(bench.read, 1.5) < 1.2
    await bench.write({})
    await until(lambda: bench.health.serving, 1)
    assert bench.changes == [True, False, True]


async def test_calls_in_flight_end_when_the_database_stops_answering(bench: Bench) -> None:
    """As behind a pulled cable: connections stay open and nothing replies."""
    bench.proxy.silent = True
    calls = [ended(bench.read) for _ in range(12)] + [ended(lambda: bench.write({})) for _ in range(4)]
    for seconds, outcome in await asyncio.gather(*calls):
        assert isinstance(outcome, Unavailable), outcome
        assert seconds < 2.3
    assert not bench.health.serving
    bench.proxy.silent = False
    bench.proxy.reset()
    assert await first_success(bench.read, 3) < 1.5
    await first_success(lambda: bench.write({}), 1)


async def test_slow_database_is_not_ready_and_calls_end(bench: Bench) -> None:
    bench.proxy.delay = 3
    calls = [ended(bench.read), ended(lambda: bench.write({}))]
    for seconds, outcome in await asyncio.gather(*calls):
        assert isinstance(outcome, Unavailable), outcome
        assert seconds < 2.3
    assert not bench.health.serving
    bench.proxy.delay = 0
    await until(lambda: bench.health.serving, 5)
    await bench.read()


async def test_reset_connection_is_retried_or_unavailable_in_time(bench: Bench) -> None:
    for _ in range(5):
        bench.proxy.reset()
        seconds, outcome = await ended(bench.read)
        assert outcome is None or isinstance(outcome, (dict, Unavailable))
        assert seconds < 2
    await until(lambda: bench.health.serving, 2)


async def test_write_with_a_lost_reply_is_stored_once(bench: Bench) -> None:
    """The reply is lost; a retry under the same `_id` finds the document."""
    bench.proxy.delay = 0.3
    sent = asyncio.create_task(ended(lambda: bench.write({"_id": "once"})))
    await asyncio.sleep(0.15)
    bench.proxy.reset()
    bench.proxy.delay = 0
    await sent
    await first_success(bench.read, 3)
    for _ in range(2):
        await ended(lambda: bench.write({"_id": "once"}))
    assert bench.database["event"].count_documents({"_id": "once"}) == 1
