"""Which version of this service's documents a database holds: one document says so.

The version counts changes that an older service could not live with. Fields that may be missing are no such change:
a document of an upstream database, which has none of ours, is a valid one.
"""

from datetime import UTC, datetime

from pymongo.errors import DuplicateKeyError

from event_service.store.client import Database, DatabaseSettingsError, Document
from event_service.store.driver_errors import database_errors

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
    found = _read(database)
    return None if found is None else int(found["version"])


def restoring_since(database: Database) -> datetime | None:
    """When a restore was begun that has not ended; None where the database is whole.

    Raises:
        Unavailable: the database does not answer.
    """
    found = (_read(database) or {}).get("restoring_since")
    return found if isinstance(found, datetime) else None


def is_sharded(database: Database) -> bool:
    """Whether `store/maintenance/sharding.py` has spread the collections over a cluster.

    Raises:
        Unavailable: the database does not answer.
    """
    return bool((_read(database) or {}).get("sharded"))


def note_sharded(database: Database) -> None:
    """Notes that the collections are being spread. Only after `ensure`.

    Raises:
        Unavailable: the database failed.
    """
    with database_errors(writing=True):
        database[COLLECTION].update_one({"_id": _ID}, {"$set": {"sharded": True}})


def check(version: int, what: str) -> None:
    """
    Args:
        what: has this version, for the error.

    Raises:
        SchemaError: a later service has made it.
    """
    if version > VERSION:
        raise SchemaError(
            f"{what} has schema version {version}, and this service knows {VERSION}: "
            "a later event-service has written it; install that one"
        )


def demand_whole(database: Database) -> None:
    """
    Raises:
        SchemaError: a restore into the database was begun and not finished.
        Unavailable: the database does not answer.
    """
    if since := restoring_since(database):
        raise SchemaError(
            f"a restore into the database {database.name!r} was begun at {since:%Y-%m-%d %H:%M:%S} UTC and is not "
            "finished: run it again with `event-service db restore --replace`"
        )


def ensure(database: Database) -> None:
    """Notes our version in a database that has none.

    Raises:
        SchemaError: the database has a later one, or is only half restored.
        Unavailable: the database does not answer.
    """
    demand_whole(database)
    version = stored_version(database)
    if version is None:
        with database_errors(writing=True):
            try:
                database[COLLECTION].insert_one({"_id": _ID, "version": VERSION, "since": datetime.now(UTC)})
            except DuplicateKeyError:  # another replica, at the same moment
                return ensure(database)
    else:
        check(version, f"the database {database.name!r}")
    return None


def begin_restore(database: Database, at: datetime) -> None:
    """Notes that what the database holds is not whole, so that no service starts on it."""
    marked = {"$set": {"restoring_since": at}, "$setOnInsert": {"version": VERSION}}
    with database_errors(writing=True):
        database[COLLECTION].update_one({"_id": _ID}, marked, upsert=True)


def end_restore(database: Database, version: int) -> None:
    """Notes that it is whole again, and of which version; 0 for documents of an upstream database."""
    with database_errors(writing=True):
        if version:
            now = datetime.now(UTC)
            database[COLLECTION].replace_one({"_id": _ID}, {"version": version, "since": now}, upsert=True)
        else:
            database[COLLECTION].delete_one({"_id": _ID})


def _read(database: Database) -> Document | None:
    with database_errors():
        return database[COLLECTION].find_one({"_id": _ID})
