"""Tests that share a service run in one process: it is started once for them, and what is measured is not disturbed."""

import pytest

from tests.sharing import ByModule


@pytest.mark.parametrize(
    ("node_id", "shared_with"),
    [
        ("tests/e2e/test_serve.py::test_it", "tests/e2e/test_serve.py"),
        ("tests/unit/test_names.py::TestThem::test_it[a@b::c]", "tests/unit/test_names.py"),
        ("tests/chaos/test_stop.py::test_it[x]@chaos", "chaos"),
    ],
)
def test_modules_and_groups_stay_together(node_id: str, shared_with: str) -> None:
    assert ByModule._split_scope(ByModule.__new__(ByModule), node_id) == shared_with


def test_groups_are_seen(request: pytest.FixtureRequest) -> None:
    spread = request.config.getoption("loadgroup", default=False)
    for item in request.session.items:
        if "chaos" in item.path.parts:
            assert item.get_closest_marker("xdist_group"), item.nodeid
        if item.get_closest_marker("xdist_group"):
            assert not spread or "@" in item.nodeid, "pytest-xdist does not see the groups"
