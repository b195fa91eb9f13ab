"""Runner of the coverage-guided searches."""

import logging
import sys
from collections.abc import Callable

import atheris


def fuzz(one_input: Callable[[bytes], None]) -> None:
    """Search by the command line's libFuzzer options and exit."""
    logging.disable(logging.CRITICAL)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
