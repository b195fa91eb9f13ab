"""Waiting for what has to come true soon."""

import time
from collections.abc import Callable


def within_a_second(holds: Callable[[], bool], seconds: float = 1.0) -> float:
    """Wait until `holds` is true, and return the seconds; fail if a check that started too late is false.

    The duration of a check itself does not count.
    """
    started = time.monotonic()
    while True:
        asked = time.monotonic() - started
        if holds():
            return asked
        assert asked < seconds, f"not after {asked:.2f} s"
        time.sleep(0.02)
