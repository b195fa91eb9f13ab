"""Opens the database of the settings for `event-service db ...`, also while a service runs on it."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from event_service.settings import Settings
from event_service.store import client
from event_service.store.client import Database
from event_service.store.embedded.database import (
    DirectoryInUseError,
    EmbeddedDatabase,
    EmbeddedDatabaseError,
    running_uri,
)
from event_service.store.requirements.collections import COLLECTIONS, check_collections
from event_service.store.requirements.rights import TO_READ, check_rights
from event_service.store.requirements.topology import check_topology

MAX_QUERY_MS = 3_600_000
"""Time limit of a query: counting or copying a large collection may take long."""


@contextmanager
def opened(
    settings: Settings, *, alone: bool = False, create: bool = False, actions: Sequence[str] = TO_READ
) -> Iterator[Database]:
    """Open the database that a service with these settings uses.

    Starts an embedded database temporarily, or shares it with the service that runs on it.

    Args:
        alone: fail if a service runs on the embedded database.
        create: create an embedded database if none exists.
        actions: privilege actions that the user of the URI needs.

    Raises:
        EmbeddedDatabaseError: it does not exist, cannot be started, or must not be shared.
        DatabaseSettingsError: EVENT_SERVICE_MONGODB_URI is not valid.
        UnsuitableDatabase: the service cannot use the MongoDB.
        Unavailable: the MongoDB does not answer.
    """
    settings = settings.model_copy(update={"query_timeout_ms": MAX_QUERY_MS})
    if uri := settings.mongodb_uri.get_secret_value():
        with _connected(settings, uri) as database:
            check_topology(database, uri)
            check_rights(database, COLLECTIONS, actions)
            if "insert" in actions:
                check_collections(database)
            yield database
        return
    if not create and not (settings.data_dir / "database").is_dir():
        raise EmbeddedDatabaseError(
            f"no embedded database in {settings.data_dir}: set EVENT_SERVICE_DATA_DIR or EVENT_SERVICE_MONGODB_URI"
        )
    # A lock on the directory decides whether a service runs on it.
    embedded = EmbeddedDatabase(settings.data_dir, mongod=settings.mongod, cache_mb=settings.mongod_cache_mb)
    try:
        uri = embedded.start()
    except DirectoryInUseError:
        shared = None if alone else running_uri(settings.data_dir)
        if shared is None:
            raise
        uri = shared
    try:
        with _connected(settings, uri) as database:
            yield database
    finally:
        embedded.stop()


@contextmanager
def _connected(settings: Settings, uri: str) -> Iterator[Database]:
    database = client.connect(settings, uri)
    with closing(database.client):
        yield database
