"""Check a MongoDB as a whole, in the order in which faults hide each other: servers, rights, collections."""

from datetime import UTC, datetime

from pymongo.errors import OperationFailure

from event_service.errors import EventServiceError, Unavailable
from event_service.store import health_check, indexes, schema
from event_service.store.client import Database, time_limit
from event_service.store.driver_errors import database_errors
from event_service.store.requirements.collections import COLLECTIONS, check_collections
from event_service.store.requirements.faults import UnsuitableDatabase
from event_service.store.requirements.rights import TO_SERVE, UNAUTHORIZED, check_rights
from event_service.store.requirements.topology import Server, check_topology

_TRIED = {"_id": "doctor"}
_TRY_SECONDS = 10.0


def check_database(database: Database, uri: str) -> Server:
    """Check that the service can run on the database. Nothing is written.

    Args:
        uri: that the database was connected by.

    Raises:
        UnsuitableDatabase: it cannot, until somebody changes something.
        Unavailable: it cannot now.
    """
    server = check_topology(database, uri)
    check_rights(database, COLLECTIONS, TO_SERVE)
    check_collections(database)
    return server


def try_out(database: Database) -> str:
    """Write, read and delete a document with the service's rights, and build an index where the service would have to.

    Returns:
        What is to be said of the indexes.

    Raises:
        UnsuitableDatabase: the user may not.
        Unavailable: the database failed.
    """
    collection = database[health_check.COLLECTION]
    try:
        with database_errors(writing=True), time_limit(_TRY_SECONDS):
            collection.replace_one(_TRIED, {**_TRIED, "at": datetime.now(UTC)}, upsert=True)
            if collection.find_one(_TRIED) is None:
                raise Unavailable("A document that was written cannot be read.")
            collection.delete_one(_TRIED)
            difference = indexes.diff(database, indexes.wanted(sharded=schema.is_sharded(database)))
            if not (lacking := (*difference.missing, *difference.changed)):
                return "its indexes are there"
            collection.drop_index(collection.create_index("at", name=_TRIED["_id"]))
    except EventServiceError as error:
        if (refusal := missing_right(error)) is not None:
            raise refusal from error
        raise
    return f"{len(lacking)} indexes are missing, which the next start makes"


def missing_right(error: EventServiceError) -> UnsuitableDatabase | None:
    """Return what to say of an error behind which stands a refused command; None where none does."""
    cause = error.__cause__
    if not isinstance(cause, OperationFailure) or cause.code != UNAUTHORIZED:
        return None
    reason = str(cause).partition(", full error")[0].partition(" { ")
    command = reason[2].partition(":")[0]
    return UnsuitableDatabase(
        f"the user of EVENT_SERVICE_MONGODB_URI may not {command or 'do this'} ({reason[0]})",
        "grant it the role readWrite on the database",
    )
