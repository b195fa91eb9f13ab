"""A pytest plugin: names every test that was tried again, and what its failed tries said.

A second try is for a busy machine; what fails now and then for another reason would hide behind it.
"""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tries = terminalreporter.stats.get("rerun", [])
    if tries:
        terminalreporter.section(f"tests tried again: {len(tries)}")
    for report in tries:
        terminalreporter.write_line(f"{report.nodeid} ({report.when})")
        terminalreporter.write_line(report.longreprtext)
