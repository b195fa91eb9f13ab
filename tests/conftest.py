"""Fixtures and options of all tests."""

import os
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

from event_service.imports import without_gc
from tests.chaos.scale import LONG

# How long an example takes is the machine's affair. `make test` tries the same few examples each time, so that a change
# is what makes it fail; `make fuzz` looks for new ones.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True, max_examples=40)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

pytest_plugins = ["pytester", "tests.reruns", "tests.sharing", "tests.skips"]

REAL_PROCESSES = {"e2e", "chaos"}
UNMEASURED = {*REAL_PROCESSES, "fuzz", "conformance"}
"""Not measured: other processes are not counted, chance and records test no line, and measuring
doubles the duration."""

BROKEN_PROMISES = ["lost in round", "doubled in round", "not watched in round", "acknowledged, and lost"]
"""Failures that are never retried: a busy machine does not cause them, and a retry would hide a rare fault."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Retry tests of real processes twice: a busy machine may delay them, but a fault fails always.

    `make chaos` has its own machine and long tests, and does not retry.
    """
    for item in items:
        folders = set(Path(item.nodeid.split("::")[0]).parts)
        runs_commands_here = "run" in getattr(item, "fixturenames", ())
        by_chance = hasattr(getattr(item, "obj", None), "hypothesis")
        if by_chance or (UNMEASURED & folders and not runs_commands_here):
            item.add_marker(pytest.mark.no_cover)
        if not LONG and REAL_PROCESSES & folders:
            item.add_marker(pytest.mark.flaky(reruns=2, rerun_except=BROKEN_PROMISES))


@pytest.hookimpl(tryfirst=True)  # before pytest-cov begins to measure a worker of pytest-xdist
def pytest_sessionstart(session: pytest.Session) -> None:
    """End the measurement that pytest-cov starts before it knows its worker; `no_cover` would restore it."""
    measuring = session.config.pluginmanager.get_plugin("_cov")
    if hasattr(session.config, "workerinput") and measuring is not None and measuring.cov_controller is not None:
        measuring.cov_controller.pause()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without garbage collection: each process collects all tests, and keeps them until its end."""
    with without_gc():
        return (yield)


LONGEST_ID = 60


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long, binary and compound parameters are named by their place: made anew in each process, they would have other
    names in each, and pytest-xdist would refuse to share them out.
    """
    if isinstance(val, bytes | dict | list) or (isinstance(val, str) and len(val) > LONGEST_ID):
        return argname
    return None
