import asyncio
import gc
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from event_service.errors import Unavailable
from event_service.model.webhook import PluginInfo, Webhook
from event_service.webhooks.cache import WebhookCache

ONE = Webhook("one", "hook", "d", "w", "p", PluginInfo("native"), datetime(2026, 1, 1, tzinfo=UTC))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Database:
    """Answers look-ups, on request only after `slow` is set."""

    def __init__(self):
        self.rows = {"one": ONE}
        self.asked = []
        self.slow = None

    async def load(self, webhook_id):
        self.asked.append(webhook_id)
        row = self.rows.get(webhook_id)
        if self.slow is not None:
            await self.slow.wait()
        if isinstance(row, Exception):
            raise row
        return row


async def settle():
    """Lets every task run until it waits for something."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def database():
    return Database()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(database, clock):
    return WebhookCache(database.load, monotonic=clock, capacity=3)


async def test_busy_webhook_two_look_ups_per_ttl(cache, database, clock):
    for tenth in range(16):
        clock.now = tenth / 10 + 0.001
        assert await cache.get("one") is ONE
        await settle()
    assert database.asked == ["one"] * 4


async def test_refresh_does_not_delay_callers(cache, database, clock):
    await cache.get("one")
    clock.now = 0.5
    database.slow = asyncio.Event()
    for _ in range(3):
        assert await asyncio.wait_for(cache.get("one"), 1) is ONE  # while it is being looked up
        await settle()
    assert database.asked == ["one", "one"]
    changed = database.rows["one"] = replace(ONE, name="changed")
    clock.now = 0.85
    late = asyncio.ensure_future(cache.get("one"))
    await settle()
    assert not late.done()  # what is known is too old now
    database.slow.set()
    assert (await late, await cache.get("one")) == (ONE, ONE)
    clock.now = 1.0
    await cache.get("one")
    await settle()
    assert await cache.get("one") is changed


async def test_failed_refresh_keeps_entry(cache, database, clock):
    await cache.get("one")
    database.rows["one"] = Unavailable("away")
    clock.now = 0.5
    assert await cache.get("one") is ONE
    await settle()
    clock.now = 0.79
    assert await cache.get("one") is ONE
    await settle()
    clock.now = 0.81
    with pytest.raises(Unavailable):
        await cache.get("one")


async def test_change_elsewhere_visible_within_a_second(cache, database, clock):
    await cache.get("one")
    database.rows["one"] = changed = replace(ONE, name="changed")
    clock.now = 0.8
    assert await cache.get("one") is changed


async def test_age_counts_from_start_of_look_up(cache, database, clock):
    database.slow = asyncio.Event()
    waiting = asyncio.create_task(cache.get("one"))
    await settle()
    clock.now = 0.7
    database.slow.set()
    assert await waiting is ONE
    clock.now = 0.85
    await cache.get("one")
    assert len(database.asked) == 2


async def test_concurrent_callers_share_look_up(cache, database):
    database.slow = asyncio.Event()
    waiting = [asyncio.create_task(cache.get("one")) for _ in range(20)]
    await settle()
    database.slow.set()
    assert await asyncio.gather(*waiting) == [ONE] * 20
    assert database.asked == ["one"]


async def test_stale_look_up_not_joined(cache, database, clock):
    database.slow = asyncio.Event()
    first = asyncio.create_task(cache.get("one"))
    await settle()
    database.rows["one"] = changed = replace(ONE, name="changed")
    clock.now = 1.0
    second = asyncio.create_task(cache.get("one"))
    await settle()
    database.slow.set()
    assert await first is ONE
    assert await second is changed
    assert await cache.get("one") is changed


async def test_cancelled_caller_does_not_cancel_others(cache, database):
    database.slow = asyncio.Event()
    patient, impatient = asyncio.create_task(cache.get("one")), asyncio.create_task(cache.get("one"))
    await settle()
    impatient.cancel()
    await settle()
    database.slow.set()
    assert await patient is ONE
    assert impatient.cancelled()


async def test_failure_reaches_all_callers_and_is_not_cached(cache, database):
    database.rows["one"] = Unavailable()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await cache.get("one")
    database.rows["one"] = ONE
    assert await cache.get("one") is ONE


async def test_unawaited_failure_not_logged(cache, database, caplog):
    database.rows["one"] = Unavailable()
    database.slow = asyncio.Event()
    waiting = asyncio.create_task(cache.get("one"))
    await settle()
    waiting.cancel()
    database.slow.set()
    for _ in range(3):
        await settle()
    gc.collect()
    assert not caplog.records


async def test_missing_webhook_not_cached(cache, database):
    assert await cache.get("two") is None
    database.rows["two"] = ONE
    assert await cache.get("two") is ONE


async def test_deleted_webhook_removed(cache, database, clock):
    await cache.get("one")
    del database.rows["one"]
    clock.now = 1.0
    assert await cache.get("one") is None
    assert not cache._entries
    assert not cache._look_ups


async def test_invalidate_takes_effect_immediately(cache, database):
    await cache.get("one")
    database.rows["one"] = changed = replace(ONE, name="changed")
    cache.invalidate("one")
    assert await cache.get("one") is changed


async def test_invalidate_during_look_up(cache, database):
    database.slow = asyncio.Event()
    before = asyncio.create_task(cache.get("one"))
    await settle()
    database.rows["one"] = changed = replace(ONE, name="changed")
    cache.invalidate("one")
    after = asyncio.create_task(cache.get("one"))
    await settle()
    database.slow.set()
    assert await before is ONE
    assert await after is changed
    assert await cache.get("one") is changed


async def test_number_of_entries_limited(cache, database):
    for number in range(10):
        database.rows[str(number)] = ONE
        await cache.get(str(number))
    assert sorted(cache._entries) == ["7", "8", "9"]
