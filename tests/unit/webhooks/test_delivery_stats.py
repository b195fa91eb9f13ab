import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from event_service.errors import Unavailable
from event_service.model.activity import LONGEST_ERROR, Activity, DeliveryCounts, DeliveryOutcome
from event_service.webhooks import delivery_stats as counters_module
from event_service.webhooks.delivery_stats import DeliveryStats


class Store:
    def __init__(self):
        self.writes = []
        self.failing = False
        self.slow = None

    async def write(self, counts):
        if self.slow is not None:
            await self.slow.wait()
        if self.failing:
            raise Unavailable
        self.writes.append({name: (counts.calls, counts.faulty_calls) for name, counts in counts.items()})
        self.counts = counts


@pytest.fixture
def store():
    return Store()


async def test_calls_summed_and_written_once(store):
    counters = DeliveryStats(store.write)
    for number in range(5):
        counters.count("one", error=number == 0)
    counters.count("two", error=False)
    await counters.flush()
    await counters.flush()
    assert store.writes == [{"one": (5, 1), "two": (1, 0)}]


async def test_empty_flush_does_not_write(store):
    await DeliveryStats(store.write).flush()
    assert store.writes == []


async def test_background_flush(store):
    counters = DeliveryStats(store.write, interval=0.01)
    counters.start()
    counters.start()
    counters.count("one", error=False)
    for _ in range(100):
        await asyncio.sleep(0.01)
        if store.writes:
            break
    assert store.writes == [{"one": (1, 0)}]
    await counters.close()


async def test_close_flushes(store):
    counters = DeliveryStats(store.write, interval=60)
    counters.start()
    counters.count("one", error=True)
    await asyncio.wait_for(counters.close(), 1)
    await counters.close()
    assert store.writes == [{"one": (1, 1)}]


async def test_failed_flush_retried(store, caplog):
    counters = DeliveryStats(store.write, interval=0.01)
    counters.start()
    store.failing = True
    counters.count("one", error=True)
    with pytest.raises(Unavailable):
        await counters.flush()
    await asyncio.sleep(0.05)
    counters.count("one", error=False)
    store.failing = False
    await counters.flush()
    assert store.writes == [{"one": (2, 1)}]
    assert "not written" in caplog.text
    await counters.close()


async def test_lost_counts_logged_at_close(store, caplog):
    counters = DeliveryStats(store.write)
    counters.count("one", error=False)
    store.failing = True
    await counters.close()
    assert "lost" in caplog.text


async def test_flush_waits_for_running_flush(store):
    counters = DeliveryStats(store.write)
    store.slow = asyncio.Event()
    counters.count("one", error=False)
    first = asyncio.create_task(counters.flush())
    await asyncio.sleep(0)
    second = asyncio.create_task(counters.flush())
    await asyncio.sleep(0.01)
    assert not second.done()
    store.slow.set()
    await asyncio.gather(first, second)
    assert store.writes == [{"one": (1, 0)}]


async def test_cancelled_flush_does_not_count_twice(store):
    counters = DeliveryStats(store.write)
    store.slow = asyncio.Event()
    counters.count("one", error=False)
    waiting = asyncio.create_task(counters.flush())
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.sleep(0.01)
    store.slow.set()
    await counters.flush()
    assert store.writes == [{"one": (1, 0)}]


async def test_close_has_timeout(store, caplog, monkeypatch):
    monkeypatch.setattr(counters_module, "CLOSE_TIMEOUT", 0.05)
    for started in (False, True):
        counters = DeliveryStats(store.write, interval=0.001)
        store.slow = asyncio.Event()
        if started:
            counters.start()
        counters.count("one", error=False)
        await asyncio.sleep(0.01)
        await asyncio.wait_for(counters.close(), 1)
        store.slow.set()
    assert caplog.text.count("does not respond") == 2


async def test_recorded_outcomes_summed(store):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    counters = DeliveryStats(store.write, clock=lambda: now)
    counters.count("one", error=False)
    counters.record("one", DeliveryOutcome(stored=2, ignored=["acknowledge", "acknowledge", "note"]))
    counters.count("one", error=True)
    counters.record("one", DeliveryOutcome(stored=1, errors=1, error="title: must be a string"))
    now += timedelta(seconds=1)
    counters.count("one", error=False)
    counters.record("one", DeliveryOutcome(duplicates=1, unmatched=1, refused=1))
    await counters.flush()
    expected = Activity(
        stored=3,
        errors=1,
        duplicates=1,
        unmatched=1,
        ignored={"acknowledge": 2, "note": 1},
        refused=1,
        last_received_at=now,
        last_error_at=now - timedelta(seconds=1),
        last_error="title: must be a string",
    )
    assert store.counts == {"one": DeliveryCounts(3, 1, expected)}


async def test_try_flush_has_timeout(store, monkeypatch):
    monkeypatch.setattr(counters_module, "FLUSH_TIMEOUT", 0.01)
    counters = DeliveryStats(store.write)
    counters.count("one", error=True)
    store.failing = True
    await counters.try_flush()
    assert counters.pending("one").faulty_calls == 1
    assert counters.pending("two") == DeliveryCounts()
    store.slow = asyncio.Event()  # a write that waits for a majority
    await counters.try_flush()
    store.failing = False
    store.slow.set()
    await counters.flush()
    assert store.writes == [{"one": (1, 1)}]


async def test_unwritten_counts_added_to_later_ones(store):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    counters = DeliveryStats(store.write, clock=lambda: now)
    counters.count("one", error=True)
    counters.record("one", DeliveryOutcome(stored=1, ignored=["note"], error="first"))
    store.slow = asyncio.Event()
    store.failing = True
    writing = asyncio.create_task(counters.flush())
    await asyncio.sleep(0.01)
    now += timedelta(seconds=1)
    counters.count("one", error=True)
    counters.record("one", DeliveryOutcome(stored=1, ignored=["note"], error="second"))
    counters.count("two", error=False)
    store.slow.set()
    with pytest.raises(Unavailable):
        await writing
    store.failing = False
    await counters.flush()
    one = Activity(stored=2, ignored={"note": 2}, last_received_at=now, last_error_at=now, last_error="second")
    assert store.counts == {
        "one": DeliveryCounts(2, 2, one),
        "two": DeliveryCounts(1, 0, Activity(last_received_at=now)),
    }


def test_last_error_truncated_and_storable():
    activity = Activity()
    activity.record(DeliveryOutcome(error="half a pair \ud83d " + "x" * 1000), lambda: datetime(2026, 1, 1, tzinfo=UTC))
    assert activity.last_error.startswith("half a pair ? x")
    assert len(activity.last_error) == LONGEST_ERROR
