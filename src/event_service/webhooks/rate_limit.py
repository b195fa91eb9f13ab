"""A rate limit per webhook, so that a noisy one does not slow the others down."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache

from event_service.errors import Overloaded

CAPACITY = 10_000

_MIN_RETRY_SECONDS = 0.05


@dataclass(slots=True)
class TokenBucket:
    """A token bucket, which consumption may overdraw: it holds `burst` tokens at most and gains `rate` a second.

    Attributes:
        tokens: at `updated_at` (monotonic seconds).
    """

    rate: float
    burst: float
    tokens: float
    updated_at: float

    def available(self, now: float) -> float:
        """Return the tokens at monotonic second `now`; negative while overdrawn."""
        return min(self.tokens + (now - self.updated_at) * self.rate, self.burst)

    def consume(self, tokens: int, now: float) -> None:
        """Take tokens out, even more than are available."""
        self.tokens, self.updated_at = self.available(now) - tokens, now


class WebhookRateLimit:
    """A token bucket for each recently used webhook; one token is one event. Used on one event loop.

    A delivery needs one token to be admitted, and then consumes one per event, overdrawing the bucket if necessary:
    otherwise a delivery larger than the burst would never be admitted.

    Args:
        rate: events per second; 0 disables the limit.
        burst: events.
        monotonic: seconds.
        capacity: number of buckets; the least recently used is evicted first.
    """

    def __init__(
        self,
        rate: float,
        burst: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        capacity: int = CAPACITY,
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._monotonic = monotonic
        # A missing bucket counts as full, so evicting one only forgives its debt.
        self._buckets: LRUCache[str, TokenBucket] = LRUCache(capacity)

    def check(self, webhook_id: str) -> None:
        """Check that a delivery may be admitted. Consumes nothing.

        Raises:
            Overloaded: no token is available; `retry_after` is the time until the next.
        """
        bucket = self._buckets.get(webhook_id)
        if bucket is None:
            return
        tokens = bucket.available(self._monotonic())
        if tokens < 1:
            raise Overloaded(
                "The webhook exceeds its rate limit; send again later.",
                retry_after=max((1 - tokens) / self._rate, _MIN_RETRY_SECONDS),
            )

    def consume(self, webhook_id: str, events: int) -> None:
        """Consume a token for each event."""
        if not self._rate:
            return
        now = self._monotonic()
        bucket = self._buckets.get(webhook_id)
        if bucket is None:
            bucket = self._buckets[webhook_id] = TokenBucket(self._rate, self._burst, self._burst, now)
        bucket.consume(events, now)
