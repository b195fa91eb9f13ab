"""The circuit breaker opens after failures and closes after an answer."""

from event_service.normalize.breaker import Breaker


def test_opens_after_consecutive_failures_only() -> None:
    breaker = Breaker(failures=2, pause=10, clock=lambda: 0.0)
    breaker.failed("timeout")
    breaker.answered()
    breaker.failed("timeout")
    assert breaker.allows()
    breaker.failed("unavailable")
    assert not breaker.allows()
    assert breaker.reason == "unavailable"


def test_after_the_pause_one_call_tries_again() -> None:
    now = 0.0
    breaker = Breaker(failures=1, pause=10, clock=lambda: now)
    breaker.failed("timeout")
    now = 9.9
    assert not breaker.allows()
    now = 10.0
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.answered()
    assert breaker.allows()


def test_failed_trial_restarts_pause() -> None:
    now = 0.0
    breaker = Breaker(failures=1, pause=10, clock=lambda: now)
    breaker.failed("timeout")
    now = 12.0
    assert breaker.allows()
    breaker.failed("timeout")
    now = 21.0
    assert not breaker.allows()
    now = 22.0
    assert breaker.allows()
