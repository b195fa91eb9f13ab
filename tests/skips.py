"""A pytest plugin: lists skipped tests at the end, and fails in CI on a skip without a reason.

A skipped check protects nothing. `allowed_skips.txt` lists those that are known, one a line:
a test's id (`*` stands for anything), a bar, why it may be missing.
"""

import os
import re
from pathlib import Path

import pytest

ALLOWED_FILE = Path(__file__).with_name("allowed_skips.txt")


_GROUP = re.compile(r"@[^\]]*$")
"""Suffix that pytest-xdist adds to the ids of tests of a group."""


def read_allowed(text: str) -> list[re.Pattern[str]]:
    """Return the patterns of the ids that may be skipped. Raises ValueError for a line without a reason."""
    patterns = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        test, bar, reason = (part.strip() for part in line.partition("|"))
        if not (test and bar and reason):
            raise ValueError(f"allowed_skips.txt: no reason in {line!r}")
        patterns.append(re.compile(re.escape(test).replace(r"\*", ".*")))
    return patterns


def reason_of(report: pytest.TestReport) -> str:
    """Why the test was skipped, in its own words."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return "no reason given"


class SkipGate:
    """Collects the skipped tests of a run, of its worker processes too."""

    def __init__(self, allowed: list[re.Pattern[str]], strict: bool) -> None:
        self.allowed = allowed
        self.strict = strict
        self.skipped: dict[str, str] = {}

    def unexplained(self) -> list[str]:
        return [test for test in self.skipped if not any(pattern.fullmatch(test) for pattern in self.allowed)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped[_GROUP.sub("", report.nodeid)] = reason_of(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped[report.nodeid] = reason_of(report)  # type: ignore[arg-type]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.strict and self.unexplained() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section(f"skipped tests: {len(self.skipped)}")
        unexplained = set(self.unexplained())
        for test, reason in sorted(self.skipped.items()):
            mark = " (NOT IN allowed_skips.txt)" if test in unexplained else ""
            terminalreporter.write_line(f"{test}: {reason}{mark}")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return  # a worker process of xdist: the one that started it collects
    gate = SkipGate(read_allowed(ALLOWED_FILE.read_text()), strict=bool(os.environ.get("CI")))
    config.pluginmanager.register(gate, "skip-gate")
