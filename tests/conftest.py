"""What every test of the project shares."""

import os
from pathlib import Path

import hypothesis
import pytest

from tests.chaos.scale import LONG

# How long an example takes is the machine's affair. `make test` tries the same few examples each time, so that a change
# is what makes it fail; `make fuzz` looks for new ones.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True, max_examples=40)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

pytest_plugins = ["pytester", "tests.reruns", "tests.sharing", "tests.skips"]

REAL_PROCESSES = {"e2e", "chaos"}
UNMEASURED = {*REAL_PROCESSES, "fuzz", "conformance"}
"""What runs in other processes is not counted, what chance or a record comes by is not thereby tested; and to measure
takes as long again as the tests do."""

BROKEN_PROMISES = ["lost in round", "doubled in round", "not told in round", "acknowledged, and lost"]
"""What no busy machine excuses, and a second try would hide: such a fault shows now and then only."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of real processes get two more tries: on a busy machine one may miss its moment, a fault fails always.

    Not so in `make chaos`, which has a machine of its own, and takes minutes for each.
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
    """Ends what pytest-cov began when it did not know yet that it is in a worker: `no_cover` would go back to that."""
    measuring = session.config.pluginmanager.get_plugin("_cov")
    if hasattr(session.config, "workerinput") and measuring is not None and measuring.cov_controller is not None:
        measuring.cov_controller.pause()


LONGEST_ID = 60


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long, binary and compound parameters are named by their place: made anew in each process, they would have other
    names in each, and pytest-xdist would refuse to share them out.
    """
    if isinstance(val, bytes | dict | list) or (isinstance(val, str) and len(val) > LONGEST_ID):
        return argname
    return None
