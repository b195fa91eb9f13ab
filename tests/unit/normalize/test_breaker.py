"""When an endpoint is left alone, and for how long."""

from event_service.normalize.breaker import Breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
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


def test_a_try_that_fails_starts_the_pause_anew() -> None:
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
