"""Check a MongoDB as a whole, in the order in which faults hide each other: servers, rights, collections."""

from pymongo.errors import OperationFailure

from event_service.errors import EventServiceError
from event_service.store.client import Database
from event_service.store.requirements.collections import COLLECTIONS, check_collections
from event_service.store.requirements.faults import UnsuitableDatabase
from event_service.store.requirements.rights import TO_SERVE, UNAUTHORIZED, check_rights
from event_service.store.requirements.topology import Server, check_topology


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
