"""One store contract, three databases: mongomock (what it can), the embedded server, and a MongoDB by URI.

`EVENT_SERVICE_TEST_MONGODB_URI` adds the third; without it there is no such parameter. Every test gets a database of
its own that is empty.
"""

import itertools
import os
from collections.abc import Iterator
from typing import cast

import pytest

from event_service.settings import Settings
from event_service.store.client import Database, close, connect
from event_service.store.embedded.database import EmbeddedDatabase, EmbeddedDatabaseError
from tests.contract.mongomock_database import make_database

MONGODB_URI = os.environ.get("EVENT_SERVICE_TEST_MONGODB_URI", "")
KINDS = ["mongomock", "embedded", *(["mongodb"] if MONGODB_URI else [])]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def embedded_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URI of an embedded server that the whole session shares, started by the product itself."""
    embedded = EmbeddedDatabase(tmp_path_factory.mktemp("embedded"))
    try:
        uri = embedded.start()
    except EmbeddedDatabaseError as error:
        pytest.skip(f"embedded: {error}")
    yield uri
    embedded.stop()


@pytest.fixture(params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on: mongomock, embedded or mongodb."""
    return cast("str", request.param)


@pytest.fixture(scope="session")
def embedded_server(embedded_uri: str) -> Iterator[Database]:
    """The embedded server."""
    yield from _connected(embedded_uri)


@pytest.fixture(scope="session")
def mongodb_server() -> Iterator[Database]:
    """The MongoDB at EVENT_SERVICE_TEST_MONGODB_URI."""
    yield from _connected(MONGODB_URI)


def _connected(uri: str) -> Iterator[Database]:
    """A server, connected as the product connects; once, for that takes as long as many a test."""
    server = connect(Settings(), uri)
    yield server
    close(server)


@pytest.fixture
def database(database_kind: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    if database_kind == "mongomock":
        yield make_database(name, request.getfixturevalue("monkeypatch"))
        return
    server: Database = request.getfixturevalue(f"{database_kind}_server")
    yield server.client.get_database(name, codec_options=server.codec_options, write_concern=server.write_concern)
    server.client.drop_database(name)
