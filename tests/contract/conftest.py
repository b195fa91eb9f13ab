"""Fixtures of the store contract, which runs on a real mongod and, as far as it can answer, on mongomock.

The mongod is the one of EVENT_SERVICE_TEST_MONGODB_URI, else an embedded one of the session. Every test gets an empty
database of its own.
"""

import itertools
import os
from collections.abc import Iterator
from typing import cast

import pytest

from event_service.settings import Settings
from event_service.store.client import Database, close, connect
from event_service.store.embedded.database import EmbeddedDatabase
from tests.contract.mongomock_database import make_database

MONGODB_URI = os.environ.get("EVENT_SERVICE_TEST_MONGODB_URI", "")
KINDS = ["mongomock", "mongodb"]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URI of the mongod of the session."""
    if MONGODB_URI:
        yield MONGODB_URI
        return
    mongod = EmbeddedDatabase(tmp_path_factory.mktemp("mongod"))
    yield mongod.start()
    mongod.stop()


@pytest.fixture(params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    """Return "mongomock" or "mongodb"."""
    return cast("str", request.param)


@pytest.fixture(scope="session")
def server(mongodb_uri: str) -> Iterator[Database]:
    """Return the mongod, connected once as the product connects."""
    database = connect(Settings(), mongodb_uri)
    yield database
    close(database)


@pytest.fixture
def database(database_kind: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """Return an empty database."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    if database_kind == "mongomock":
        yield make_database(name, request.getfixturevalue("monkeypatch"))
        return
    server: Database = request.getfixturevalue("server")
    yield server.client.get_database(
        name,
        codec_options=server.codec_options,
        write_concern=server.write_concern,
        read_concern=server.read_concern,
    )
    server.client.drop_database(name)
