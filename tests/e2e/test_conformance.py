"""The recorded cases asked of a real process, by the program that was recorded with them, where it is at hand."""

import re
import subprocess
import sys

import pytest

from tests.conformance.contradictions import CONTRADICTIONS
from tests.conformance.program import PROGRAM
from tests.e2e.service import BIN, clean_environment


@pytest.mark.timeout(300)
@pytest.mark.skipif(not PROGRAM.exists(), reason="the program that asks the cases is not beside the checkout")
def test_every_recorded_answer_but_those_that_contradict_the_rules() -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, "--service", f"{BIN / 'event-service'} serve"],
        env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    closing = re.search(r"^(\d+) passed, (\d+) failed$", done.stdout, re.MULTILINE)
    assert closing, done.stdout[-3000:] + done.stderr[-3000:]
    failing = {line.split(": ", 1)[0]: line for line in done.stdout.splitlines() if re.match(r"\S+: ", line)}
    assert {case: line for case, line in failing.items() if case not in CONTRADICTIONS} == {}
    assert (int(closing[1]), int(closing[2])) == (549 - len(CONTRADICTIONS), len(CONTRADICTIONS))
