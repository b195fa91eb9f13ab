"""The recorded cases asked of a real process on a real mongod, by the program that was recorded with them."""

import subprocess
import sys

import pytest

from tests.conformance.program import PROGRAM
from tests.e2e.service import BIN, clean_environment
from tests.mongod import find_mongod


@pytest.mark.timeout(300)
@pytest.mark.skipif(not PROGRAM.exists(), reason="the program that asks the cases is not beside the checkout")
def test_every_recorded_answer() -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, "--service", f"{BIN / 'event-service'} serve", "--mongod", find_mongod()],
        env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.endswith("\n549 passed, 0 failed\n"), done.stdout[-3000:] + done.stderr[-3000:]
