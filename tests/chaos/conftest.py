"""A database of the tests' own, and services before it with a proxy in between."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from event_service.store.embedded.database import EmbeddedDatabase, EmbeddedDatabaseError
from tests.chaos.mongodb_proxy import MongoProxy
from tests.e2e.service import Service

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
    """A database that lives longer than the services before it."""
    embedded = EmbeddedDatabase(tmp_path_factory.mktemp("chaos"))
    try:
        uri = embedded.start()
    except EmbeddedDatabaseError as error:
        pytest.skip(f"embedded: {error}")
    yield uri
    embedded.stop()


@pytest.fixture
def database_name() -> str:
    """A name no other test has."""
    return f"chaos_{os.getpid()}_{next(_numbers)}"


@pytest.fixture
def proxy(database_uri: str) -> Iterator[MongoProxy]:
    """The way to that database, to be disturbed."""
    address = urlsplit(database_uri)
    assert address.hostname
    assert address.port
    proxy = MongoProxy((address.hostname, address.port))
    yield proxy
    proxy.close()


@pytest.fixture
def make_service(tmp_path: Path, database_name: str) -> Iterator[MakeService]:
    """Makes services with settings of their own, not started, that share a database of that name; ends them all."""
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
