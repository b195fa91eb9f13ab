"""The token bucket of each webhook."""

import pytest

from event_service.errors import Overloaded
from event_service.webhooks.rate_limit import WebhookRateLimit


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def admit(limit: WebhookRateLimit, webhook_id: str, deliveries: int, events: int = 1) -> int:
    """Return the number of admitted deliveries."""
    accepted = 0
    for _ in range(deliveries):
        try:
            limit.check(webhook_id)
        except Overloaded:
            continue
        limit.consume(webhook_id, events)
        accepted += 1
    return accepted


def test_burst_then_rate(clock: Clock) -> None:
    limit = WebhookRateLimit(10, 50, monotonic=clock)
    assert admit(limit, "w", 100) == 50
    clock.now += 1
    assert admit(limit, "w", 100) == 10
    clock.now += 3600
    assert admit(limit, "w", 100) == 50


def test_long_run_average_is_rate(clock: Clock) -> None:
    limit = WebhookRateLimit(10, 5, monotonic=clock)
    accepted = 0
    for _ in range(10_000):
        clock.now += 0.01
        accepted += admit(limit, "w", 3)
    assert 1000 <= accepted <= 1010


def test_webhooks_have_separate_buckets(clock: Clock) -> None:
    limit = WebhookRateLimit(10, 5, monotonic=clock)
    assert admit(limit, "noisy", 1000) == 5
    assert admit(limit, "quiet", 5) == 5


def test_retry_after_is_time_until_next_token(clock: Clock) -> None:
    limit = WebhookRateLimit(2, 1, monotonic=clock)
    limit.consume("w", 1)
    with pytest.raises(Overloaded) as refused:
        limit.check("w")
    assert refused.value.retry_after == pytest.approx(0.5)
    clock.now += 0.5
    limit.check("w")


def test_large_delivery_admitted_and_overdraws(clock: Clock) -> None:
    limit = WebhookRateLimit(10, 50, monotonic=clock)
    assert admit(limit, "w", 2, events=1000) == 1
    with pytest.raises(Overloaded) as refused:
        limit.check("w")
    assert refused.value.retry_after == pytest.approx(95.1)
    clock.now += 95.2
    limit.check("w")


def test_rate_zero_disables_limit(clock: Clock) -> None:
    assert admit(WebhookRateLimit(0, 1, monotonic=clock), "w", 10_000) == 10_000


def test_number_of_buckets_limited(clock: Clock) -> None:
    limit = WebhookRateLimit(1, 1, monotonic=clock, capacity=3)
    for name in "abcad":
        limit.consume(name, 1)
    assert admit(limit, "a", 1) == 0
    assert admit(limit, "b", 1) == 1, "it was used longest ago"
