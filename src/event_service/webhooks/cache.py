"""A cache of webhooks, at most one second old: a busy webhook costs two or three look-ups a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cachetools import FIFOCache

from event_service.model.webhook import Webhook

# Disable, rotate and delete must take effect at every replica within one second, including the look-up's own time.
TIME_TO_LIVE = 0.8

CAPACITY = 10_000

Load = Callable[[str], Awaitable[Webhook | None]]


@dataclass(frozen=True, slots=True)
class _Entry:
    webhook: Webhook
    expires_at: float


@dataclass(frozen=True, slots=True)
class _LookUp:
    started_at: float
    result: "asyncio.Future[Webhook | None]"


class WebhookCache:
    """A read-through cache with refresh-ahead: concurrent callers share a look-up, each webhook has two per TTL.

    `concurrency/single_flight.py` does not fit: its callers wait for the look-up after the running one.
    Missing webhooks are not cached: unknown ids are unlimited, and a new webhook must work immediately.

    Args:
        load: reads a webhook; None if it does not exist.
        time_to_live: seconds.
        monotonic: seconds.
        capacity: number of webhooks; the one looked up longest ago is evicted first.
    """

    def __init__(
        self,
        load: Load,
        *,
        time_to_live: float = TIME_TO_LIVE,
        capacity: int = CAPACITY,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._time_to_live = time_to_live
        self._monotonic = monotonic
        self._entries: FIFOCache[str, _Entry] = FIFOCache(capacity)
        self._look_ups: dict[str, _LookUp] = {}

    async def get(self, webhook_id: str) -> Webhook | None:
        """Return the webhook as of some moment in the last `time_to_live` seconds; None if it does not exist.

        Raises:
            EventServiceError: the look-up failed.
        """
        now = self._monotonic()
        entry = self._entries.get(webhook_id)
        if entry is not None and now < entry.expires_at:
            # Refresh before expiry, so that deliveries to a busy webhook never wait for the database.
            if now >= entry.expires_at - self._time_to_live / 2 and webhook_id not in self._look_ups:
                self._start(webhook_id, now)
            return entry.webhook
        look_up = self._look_ups.get(webhook_id)
        # The database may have read the row just after the start of a slow look-up: an old one is not joined.
        if look_up is None or now >= look_up.started_at + self._time_to_live:
            look_up = self._start(webhook_id, now)
        # Shielded: a cancelled caller must not cancel the look-up of the others.
        return await asyncio.shield(look_up.result)

    def invalidate(self, webhook_id: str) -> None:
        """Drop the webhook, and do not cache the result of a running look-up."""
        self._entries.pop(webhook_id, None)
        self._look_ups.pop(webhook_id, None)

    def _start(self, webhook_id: str, now: float) -> _LookUp:
        look_up = _LookUp(now, asyncio.ensure_future(self._load(webhook_id)))
        self._look_ups[webhook_id] = look_up
        look_up.result.add_done_callback(lambda _: self._finish(webhook_id, look_up))
        return look_up

    def _finish(self, webhook_id: str, look_up: _LookUp) -> None:
        result, current = look_up.result, self._look_ups.get(webhook_id) is look_up
        if current:
            del self._look_ups[webhook_id]
        # `exception` also marks it as retrieved, in case every caller was cancelled.
        if result.cancelled() or result.exception() is not None or not current:
            return
        self._entries.pop(webhook_id, None)
        webhook = result.result()
        if webhook is not None:
            # The row may be as old as the start of the look-up.
            self._entries[webhook_id] = _Entry(webhook, look_up.started_at + self._time_to_live)
