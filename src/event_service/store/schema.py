"""Which version of this service's documents a database holds: one document says so.

The version counts changes that an older service could not live with. Fields that may be missing are no such change:
a document of an upstream database, which has none of ours, is a valid one.
"""

from datetime import UTC, datetime

from pymongo.errors import DuplicateKeyError

from event_service.store.client import Database, DatabaseSettingsError
from event_service.store.failures import database_errors

COLLECTION = "event_service"
VERSION = 1

_ID = "schema"


class SchemaError(DatabaseSettingsError):
    """The database is not for this version of the service; the text is one line for the operator."""


def stored_version(database: Database) -> int | None:
    """The version that the database says it has; None for a new or an upstream database.

    Raises:
        Unavailable: the database does not answer.
    """
    with database_errors():
        found = database[COLLECTION].find_one({"_id": _ID})
    return None if found is None else int(found["version"])


def ensure(database: Database) -> None:
    """Notes our version in a database that has none.

    Raises:
        SchemaError: the database has a later one.
        Unavailable: the database does not answer.
    """
    version = stored_version(database)
    if version is None:
        with database_errors(writing=True):
            try:
                database[COLLECTION].insert_one({"_id": _ID, "version": VERSION, "since": datetime.now(UTC)})
            except DuplicateKeyError:  # another replica, at the same moment
                return ensure(database)
    elif version > VERSION:
        raise SchemaError(
            f"the database {database.name!r} has schema version {version}, and this service knows {VERSION}: "
            "a later event-service has written it; install that one"
        )
    return None
