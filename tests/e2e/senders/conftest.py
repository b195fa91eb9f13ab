"""Monitoring tools themselves, which `make senders` installs: each delivers a problem and its recovery.

`make test` leaves these tests out.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deliveries import Collectors
from tests.waiting import wait_until

FOLDER = Path(os.environ.get("EVENT_SERVICE_TEST_SENDERS", ""))
"""The unpacked tools."""

DEBIAN = FOLDER / "debian"
collect_ignore_glob = [] if FOLDER.name else [str(Path(__file__).with_name("test_*.py"))]

_passed: set[str] = set()
_failed: set[str] = set()


class Sender:
    """One tool with a webhook of its own."""

    def __init__(self, collectors: Collectors, tool: str, **options: Any) -> None:
        self._collectors = collectors
        self._webhook_id, self.url = collectors.webhook(tool, **options)

    @property
    def events(self) -> list[dict[str, Any]]:
        return self._collectors.events(self._webhook_id)

    def wait_for(self, event_type: str, explain: Path | None = None) -> dict[str, Any]:
        """Return the newest event once it has the type."""
        wait_until(
            lambda: self.events and self.events[-1]["event_type"] == event_type,
            40,
            lambda: (explain.read_text() if explain else "", self.events),
        )
        return self.events[-1]

    def check(self, parser: str) -> None:
        """Check that the last two events are an alert and its recovery, parsed by the format of the tool."""
        problem, recovery = self.events[-2:]
        assert (problem["event_type"], recovery["event_type"]) == ("ALERT", "RECOVERY")
        assert problem["alert_id"] == recovery["alert_id"]
        assert problem["severity"] not in {"", "NONE"}
        for event in (problem, recovery):
            preview = self._collectors.test(self._webhook_id, json.dumps(event["raw_data"]).encode(), {})
            assert preview["parser"] == parser


@contextmanager
def running(command: list[str | Path], folder: Path, **environment: str) -> Iterator[Path]:
    """Run a daemon in the foreground; yield its log."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            env=os.environ | environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield log
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    tool = Path(report.nodeid.partition("::")[0]).stem.removeprefix("test_").replace("_", " ")
    if report.outcome == "failed":
        _failed.add(tool)
    elif report.outcome == "passed" and report.when == "call":
        _passed.add(tool)


def pytest_unconfigure() -> None:
    """Count the tools in the last line of `make senders`."""
    if FOLDER.name:
        names = sorted(_passed - _failed)
        print(f"{len(names)} tools delivered a problem and its recovery: {', '.join(names)}")
