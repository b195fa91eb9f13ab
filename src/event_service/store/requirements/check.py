"""Checks all requirements, each before those that fail as its consequence: servers, rights, collections."""

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

_TRIAL = {"_id": "doctor"}
_TRIAL_SECONDS = 10.0


def check_database(database: Database, uri: str) -> Server:
    """Check that the service can run on the database. Nothing is written.

    Args:
        uri: the URI of the connection.

    Raises:
        UnsuitableDatabase: the database or the settings must be changed first.
        Unavailable: not at present.
    """
    server = check_topology(database, uri)  # first: without a primary the other checks fail without a reason
    check_rights(database, COLLECTIONS, TO_SERVE)
    check_collections(database)
    return server


def try_out(database: Database) -> str:
    """Write, read and delete a document, and build an index if the service would have to.

    Returns:
        A sentence about the indexes.

    Raises:
        UnsuitableDatabase: the user lacks a right.
        Unavailable: the database failed.
    """
    collection = database[health_check.COLLECTION]
    try:
        with database_errors(writing=True), time_limit(_TRIAL_SECONDS):
            collection.replace_one(_TRIAL, {**_TRIAL, "at": datetime.now(UTC)}, upsert=True)
            if collection.find_one(_TRIAL) is None:
                raise Unavailable("A document that was written cannot be read.")
            collection.delete_one(_TRIAL)
            difference = indexes.diff(database, indexes.wanted(sharded=schema.is_sharded(database)))
            if not (missing := (*difference.missing, *difference.changed)):
                return "its indexes exist"
            collection.drop_index(collection.create_index("at", name=_TRIAL["_id"]))
    except EventServiceError as error:
        if (refusal := missing_right(error)) is not None:
            raise refusal from error
        raise
    return f"{len(missing)} indexes are missing; the next start creates them"


def missing_right(error: EventServiceError) -> UnsuitableDatabase | None:
    """Return the error for a command that was refused as unauthorized, or None for another error."""
    cause = error.__cause__
    if not isinstance(cause, OperationFailure) or cause.code != UNAUTHORIZED:
        return None
    reason = str(cause).partition(", full error")[0].partition(" { ")
    command = reason[2].partition(":")[0]
    return UnsuitableDatabase(
        f"the user of EVENT_SERVICE_MONGODB_URI may not {command or 'do this'} ({reason[0]})",
        "grant it the role readWrite on the database",
    )
