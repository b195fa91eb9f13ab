"""Distribute tests over processes: a module's tests stay together, as do modules of one `xdist_group`.

Shared fixtures, above all services, then start only once.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling


class ByModule(LoadGroupScheduling):
    """`--dist loadgroup`, which would tear modules without a group apart."""

    def _split_scope(self, nodeid: str) -> str:
        return str(super()._split_scope(nodeid)).split("::", 1)[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByModule | None:
    """pytest-xdist's hook; None leaves other ways of `--dist` as they are."""
    return ByModule(config, log) if config.getvalue("dist") == "loadgroup" else None
