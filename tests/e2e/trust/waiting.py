"""Waiting for what has to come true soon."""

import time
from collections.abc import Callable


def within_a_second(holds: Callable[[], bool], seconds: float = 1.0) -> float:
    """How long it took, in seconds, until `holds` did. Fails where it does not in a look that began too late.

    How long a busy machine takes for a look does not matter.
    """
    started = time.monotonic()
    while True:
        asked = time.monotonic() - started
        if holds():
            return asked
        assert asked < seconds, f"not after {asked:.2f} s"
        time.sleep(0.02)
