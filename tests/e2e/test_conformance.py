"""The recorded cases asked of a real process, by the program that was recorded with them, where it is at hand."""

import re
import subprocess
import sys

import pytest

from tests.conformance.program import PROGRAM
from tests.e2e.service import BIN, clean_environment
from tests.mongod import find_mongod, mongod_environment


@pytest.mark.timeout(300)
@pytest.mark.skipif(not PROGRAM.exists(), reason="the program that asks the cases is not beside the checkout")
def test_every_recorded_answer() -> None:
    libraries = mongod_environment().get("LD_LIBRARY_PATH", "")
    environment = clean_environment() | {"LD_LIBRARY_PATH": libraries}
    done = subprocess.run(
        [sys.executable, PROGRAM, "--service", f"{BIN / 'event-service'} serve", "--mongod", find_mongod()],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    closing = re.search(r"^(\d+) passed, (\d+) failed$", done.stdout, re.MULTILINE)
    assert closing, done.stdout[-3000:] + done.stderr[-3000:]
    assert closing.groups() == ("549", "0"), done.stdout[-3000:]
