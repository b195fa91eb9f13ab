"""Tests that share a service run in one process: it is started once for them, and what is measured is not disturbed."""

import pytest


def test_tests_of_real_processes_are_in_groups(request: pytest.FixtureRequest) -> None:
    spread = request.config.getoption("loadgroup", default=False)
    for item in request.session.items:
        if {"e2e", "chaos"} & set(item.path.parts):
            assert item.get_closest_marker("xdist_group"), item.nodeid
            assert not spread or "@" in item.nodeid, "pytest-xdist does not see the groups"
