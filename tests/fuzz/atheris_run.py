"""How every coverage-guided search is run."""

import logging
import sys
from collections.abc import Callable

import atheris


def fuzz(one_input: Callable[[bytes], None]) -> None:
    """Searches as the command line's libFuzzer options say, and ends the process."""
    logging.disable(logging.CRITICAL)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
