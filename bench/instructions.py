"""Instructions a process executes, where the machine counts them: `perf stat`.

CPU time drifts with the machine's mood, instructions hardly do. Most virtual machines do not hand the counter
through; then `available` says so and the tables leave the column out.
"""

import re
import signal
import subprocess
import time
from functools import cache
from types import TracebackType

from bench.processes import find_program


@cache
def available() -> str:
    """ "" if instructions can be counted here, else why not, in a few words."""
    perf = find_program("perf")
    if perf is None:
        return "perf is not installed"
    probe = subprocess.run([perf, "stat", "-e", "instructions", "true"], capture_output=True, text=True, check=False)
    if parse(probe.stderr) is None:
        reason = "not supported by this machine" if "not supported" in probe.stderr else "not permitted"
        return f"perf stat: instructions are {reason}"
    return ""


def parse(output: str) -> int | None:
    """Return the number of instructions in what `perf stat` prints; None if it could not count them."""
    found = re.search(r"^\s*([\d.,\s]*\d)\s+instructions", output, re.MULTILINE)
    return int(re.sub(r"\D", "", found.group(1))) if found else None


class Counter:
    """`with Counter(process_id) as counter: ...`, then `counter.instructions`; None where it does not work."""

    def __init__(self, process_id: int) -> None:
        self._process_id = process_id
        self._perf: subprocess.Popen[str] | None = None
        self.instructions: int | None = None

    def __enter__(self) -> "Counter":
        if not available():
            command = [str(find_program("perf")), "stat", "-e", "instructions", "-p", str(self._process_id)]
            self._perf = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            time.sleep(0.3)  # perf attaches to every thread; it does not say when
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._perf is not None:
            self._perf.send_signal(signal.SIGINT)
            _, output = self._perf.communicate(timeout=10)
            self.instructions = parse(output)
