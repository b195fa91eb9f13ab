"""The database of the settings, opened for `event-service db ...`, whether a service runs on it or not."""

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

LONGEST_QUERY_MS = 3_600_000
"""Nobody waits for an answer: counting or copying a large collection may take its time."""


@contextmanager
def opened(
    settings: Settings, *, alone: bool = False, create: bool = False, actions: Sequence[str] = TO_READ
) -> Iterator[Database]:
    """The database that a service with these settings uses.

    An embedded one is started for the time being, or, where a service is running on it, shared with that service.

    Args:
        alone: no service may be running on an embedded database.
        create: make an embedded database where there is none.
        actions: what the MongoDB of a URI must let its user do.

    Raises:
        EmbeddedDatabaseError: there is none, it cannot be started, or it must not be shared.
        DatabaseSettingsError: EVENT_SERVICE_MONGODB_URI cannot be used.
        UnsuitableDatabase: what it names cannot be used.
        Unavailable: nothing answers there.
    """
    patient = settings.model_copy(update={"query_timeout_ms": LONGEST_QUERY_MS})
    if uri := settings.mongodb_uri.get_secret_value():
        with _connected(patient, uri) as database:
            check_topology(database, uri)
            check_rights(database, COLLECTIONS, actions)
            if "insert" in actions:
                check_collections(database)
            yield database
        return
    if not create and not (settings.data_dir / "database").is_dir():
        raise EmbeddedDatabaseError(f"there is no embedded database in {settings.data_dir}, and no MongoDB is named")
    embedded = EmbeddedDatabase(settings.data_dir, mongod=settings.mongod, cache_mb=settings.mongod_cache_mb)
    try:
        uri = embedded.start()
    except DirectoryInUseError:
        shared = None if alone else running_uri(settings.data_dir)
        if shared is None:
            raise
        uri = shared
    try:
        with _connected(patient, uri) as database:
            yield database
    finally:
        embedded.stop()


@contextmanager
def _connected(settings: Settings, uri: str) -> Iterator[Database]:
    database = client.connect(settings, uri)
    with closing(database.client):
        yield database
