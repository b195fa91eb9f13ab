"""Waiting for what has to come true soon."""

import time
from collections.abc import Callable


def within_a_second(holds: Callable[[], bool], seconds: float = 1.0) -> float:
    """How long it took, in seconds, until `holds` did; fails where it takes longer than it may.

    A look that began in time counts, however long a busy machine takes to finish it.
    """
    started = time.monotonic()
    while True:
        asked = time.monotonic() - started
        if holds():
            return asked
        assert asked < seconds, f"not after {asked:.2f} s"
        time.sleep(0.02)
