"""A database of the tests' own, and services before it with a proxy in between."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.chaos.mongodb_proxy import MongoProxy
from tests.chaos.scale import scaled
from tests.e2e.service import Service
from tests.mongod import ReplicaSet

MakeService = Callable[..., Service]

_numbers = itertools.count(1)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder has a long form, and runs one after another: what is measured must not be disturbed."""
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.chaos)
            item.add_marker(pytest.mark.xdist_group("chaos"))


@pytest.fixture(scope="session")
def database_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database that lives longer than the services before it: a replica set of one."""
    with ReplicaSet(tmp_path_factory.mktemp("chaos"), nodes=1) as single:
        yield single.nodes[0].uri


@pytest.fixture(scope="module")
def replica_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    """Three nodes. `make chaos` waits for an election as long as MongoDB does by default."""
    with ReplicaSet(tmp_path_factory.mktemp("set"), election_timeout_ms=scaled(1000, 10_000)) as replica_set:
        yield replica_set


@pytest.fixture(scope="module")
def patient_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    """Three nodes whose primary stays one for a minute without its majority."""
    with ReplicaSet(tmp_path_factory.mktemp("patient"), election_timeout_ms=60_000) as replica_set:
        yield replica_set


@pytest.fixture
def database_name() -> str:
    """A name no other test has."""
    return f"chaos_{os.getpid()}_{next(_numbers)}"


@pytest.fixture
def proxy(database_uri: str) -> Iterator[MongoProxy]:
    """Yield the way to that database, to be disturbed."""
    address = urlsplit(database_uri)
    assert address.hostname
    assert address.port
    proxy = MongoProxy((address.hostname, address.port))
    yield proxy
    proxy.close()


@pytest.fixture
def make_service(tmp_path: Path, database_name: str) -> Iterator[MakeService]:
    """Make services with settings of their own, not started, that share a database of that name; stop them all."""
    made: list[Service] = []

    def make(uri: str = "", **settings: str) -> Service:
        if uri:
            settings |= {"EVENT_SERVICE_MONGODB_URI": uri, "EVENT_SERVICE_DATABASE": database_name}
        made.append(Service(tmp_path / f"service-{len(made)}", settings))
        return made[-1]

    yield make
    for running in made:
        if running.process is not None and running.process.poll() is None:
            running.stop()
