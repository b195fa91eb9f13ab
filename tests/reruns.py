"""A pytest plugin: lists retried tests with their failures.

Retries are for busy machines, and must not hide other rare failures.
"""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tries = terminalreporter.stats.get("rerun", [])
    if tries:
        terminalreporter.section(f"tests tried again: {len(tries)}")
    for report in tries:
        terminalreporter.write_line(f"{report.nodeid} ({report.when})")
        terminalreporter.write_line(report.longreprtext)
