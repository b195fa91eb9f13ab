"""Scale of the chaos tests: some seconds each in `make test`, the long form in `make chaos`."""

import os
from typing import TypeVar

T = TypeVar("T")

ROUNDS = int(os.environ.get("EVENT_SERVICE_TEST_ROUNDS", "0"))
"""Rounds set by `make chaos`; 0 in `make test`."""

LONG = ROUNDS > 0
"""Only then are promises of milliseconds held to their figure: `make test` shares its machine with others."""


def scaled(quick: T, long: T) -> T:
    """Return the value for the form that is being run."""
    return long if LONG else quick
