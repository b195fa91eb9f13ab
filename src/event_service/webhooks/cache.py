"""Webhooks as they were less than a second ago, so that a busy one costs two or three look-ups a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cachetools import FIFOCache

from event_service.model.webhook import Webhook

# Disabling, rotating or deleting must reach every replica within one second, the look-up's own time included.
TIME_TO_LIVE = 0.8

KEPT = 10_000

Load = Callable[[str], Awaitable[Webhook | None]]


@dataclass(frozen=True, slots=True)
class _Entry:
    webhook: Webhook
    expires_at: float


@dataclass(frozen=True, slots=True)
class _Flight:
    began_at: float
    answer: "asyncio.Future[Webhook | None]"


class WebhookCache:
    """Looks webhooks up, at most once at a time and twice per `time_to_live` (s) each.

    A webhook that is not there is not remembered: unknown ids are endless, and a new webhook works at once.

    Args:
        load: the look-up; None for no such webhook.
        monotonic: seconds.
        kept: how many webhooks are remembered; the one looked up longest ago goes first.
    """

    def __init__(
        self,
        load: Load,
        *,
        time_to_live: float = TIME_TO_LIVE,
        kept: int = KEPT,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._time_to_live = time_to_live
        self._monotonic = monotonic
        self._entries: FIFOCache[str, _Entry] = FIFOCache(kept)
        self._flights: dict[str, _Flight] = {}

    async def get(self, webhook_id: str) -> Webhook | None:
        """The webhook as it was at some moment of the last `time_to_live` seconds; None if there is none.

        Raises:
            EventServiceError: what the look-up raised.
        """
        now = self._monotonic()
        entry = self._entries.get(webhook_id)
        if entry is not None and now < entry.expires_at:
            # In good time, so that nobody who sends to a busy webhook ever waits for the database.
            if now >= entry.expires_at - self._time_to_live / 2 and webhook_id not in self._flights:
                self._take_off(webhook_id, now)
            return entry.webhook
        flight = self._flights.get(webhook_id)
        # A look-up that began long ago may have been answered long ago, too, and only be slow to arrive.
        if flight is None or now >= flight.began_at + self._time_to_live:
            flight = self._take_off(webhook_id, now)
        # Shielded: a caller that gives up must not take the answer from the others.
        return await asyncio.shield(flight.answer)

    def forget(self, webhook_id: str) -> None:
        """Has the webhook looked up again at its next use; what is being looked up now is not remembered."""
        self._entries.pop(webhook_id, None)
        self._flights.pop(webhook_id, None)

    def _take_off(self, webhook_id: str, now: float) -> _Flight:
        flight = _Flight(now, asyncio.ensure_future(self._load(webhook_id)))
        self._flights[webhook_id] = flight
        flight.answer.add_done_callback(lambda answer: self._land(webhook_id, flight, answer))
        return flight

    def _land(self, webhook_id: str, flight: _Flight, answer: "asyncio.Future[Webhook | None]") -> None:
        current = self._flights.get(webhook_id) is flight
        if current:
            del self._flights[webhook_id]
        # Asking for the exception also tells asyncio that it was seen, should every caller be gone.
        if answer.cancelled() or answer.exception() is not None or not current:
            return
        self._entries.pop(webhook_id, None)
        webhook = answer.result()
        if webhook is None:
            return
        # Counted from the beginning of the look-up: that is how old the answer may be.
        self._entries[webhook_id] = _Entry(webhook, flight.began_at + self._time_to_live)
