"""How much each webhook may deliver: a token bucket each, so that a noisy one does not cost the others."""

import time
from collections.abc import Callable

from cachetools import LRUCache

from event_service.errors import Overloaded

KEPT = 10_000

_LEAST_RETRY = 0.05  # seconds


class WebhookRateLimit:
    """A bucket for each webhook that has delivered lately. A token is an event.

    A delivery is let in if there is a token, and then pays for all of its events, if need be on credit: one that holds
    more than a bucket could otherwise never be delivered. Used on one event loop.

    Args:
        rate: tokens a bucket gains a second; 0 = whatever comes is let in.
        burst: tokens it holds at most.
        monotonic: seconds.
        kept: how many buckets are remembered; the one that was used longest ago goes first.
    """

    def __init__(
        self,
        rate: float,
        burst: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        kept: int = KEPT,
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._monotonic = monotonic
        # webhook_id -> its tokens, and when it had them. A full bucket is as good as none.
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(kept)

    def check(self, webhook_id: str) -> None:
        """Lets a delivery in, or not. Takes no token yet.

        Raises:
            Overloaded: there is no token; `retry_after` says when there will be one.
        """
        bucket = self._buckets.get(webhook_id)
        if bucket is None:
            return
        tokens = self._tokens(bucket, self._monotonic())
        if tokens < 1:
            raise Overloaded(
                "The webhook delivers more events than it may; send again later.",
                retry_after=max((1 - tokens) / self._rate, _LEAST_RETRY),
            )

    def consume(self, webhook_id: str, events: int) -> None:
        """Has a webhook pay for events."""
        if not self._rate:
            return
        now = self._monotonic()
        bucket = self._buckets.get(webhook_id)
        tokens = self._burst if bucket is None else self._tokens(bucket, now)
        self._buckets[webhook_id] = tokens - events, now

    def _tokens(self, bucket: tuple[float, float], now: float) -> float:
        tokens, at = bucket
        return min(tokens + (now - at) * self._rate, self._burst)
