"""The token bucket of each webhook."""

import pytest

from event_service.errors import Overloaded
from event_service.webhooks.rate_limit import WebhookRateLimit


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def let_in(rates: WebhookRateLimit, webhook_id: str, deliveries: int, events: int = 1) -> int:
    """How many of the deliveries are let in."""
    accepted = 0
    for _ in range(deliveries):
        try:
            rates.check(webhook_id)
        except Overloaded:
            continue
        rates.consume(webhook_id, events)
        accepted += 1
    return accepted


def test_a_burst_and_then_the_rate(clock: Clock) -> None:
    rates = WebhookRateLimit(10, 50, monotonic=clock)
    assert let_in(rates, "w", 100) == 50
    clock.now += 1
    assert let_in(rates, "w", 100) == 10
    clock.now += 3600
    assert let_in(rates, "w", 100) == 50


def test_in_the_long_run_it_is_the_rate(clock: Clock) -> None:
    rates = WebhookRateLimit(10, 5, monotonic=clock)
    accepted = 0
    for _ in range(10_000):
        clock.now += 0.01
        accepted += let_in(rates, "w", 3)
    assert 1000 <= accepted <= 1010


def test_one_webhook_does_not_cost_another(clock: Clock) -> None:
    rates = WebhookRateLimit(10, 5, monotonic=clock)
    assert let_in(rates, "noisy", 1000) == 5
    assert let_in(rates, "quiet", 5) == 5


def test_a_refusal_says_when_there_will_be_a_token(clock: Clock) -> None:
    rates = WebhookRateLimit(2, 1, monotonic=clock)
    rates.consume("w", 1)
    with pytest.raises(Overloaded) as refused:
        rates.check("w")
    assert refused.value.retry_after == pytest.approx(0.5)
    clock.now += 0.5
    rates.check("w")


def test_a_large_delivery_is_let_in_whole_and_paid_for_afterwards(clock: Clock) -> None:
    rates = WebhookRateLimit(10, 50, monotonic=clock)
    assert let_in(rates, "w", 2, events=1000) == 1
    with pytest.raises(Overloaded) as refused:
        rates.check("w")
    assert refused.value.retry_after == pytest.approx(95.1)
    clock.now += 95.2
    rates.check("w")


def test_without_a_rate_everything_is_let_in(clock: Clock) -> None:
    assert let_in(WebhookRateLimit(0, 1, monotonic=clock), "w", 10_000) == 10_000


def test_it_remembers_only_so_many(clock: Clock) -> None:
    rates = WebhookRateLimit(1, 1, monotonic=clock, capacity=3)
    for name in "abcad":
        rates.consume(name, 1)
    assert let_in(rates, "a", 1) == 0
    assert let_in(rates, "b", 1) == 1, "it was used longest ago"
