"""The schema version of a database, in one document of the collection `event_service`.

The version counts incompatible changes only. Optional fields are compatible: a document of an upstream database, which
lacks all of them, is valid.
"""

from datetime import UTC, datetime

from pymongo.errors import DuplicateKeyError

from event_service.store.client import Database, DatabaseSettingsError, Document
from event_service.store.driver_errors import database_errors

COLLECTION = "event_service"
VERSION = 1

_ID = "schema"


class SchemaError(DatabaseSettingsError):
    """This version of the service cannot use the database. The message is one line for the operator."""


def stored_version(database: Database) -> int | None:
    """Return the stored version, or None for a new or an upstream database.

    Raises:
        Unavailable: the database does not answer.
    """
    found = _read(database)
    return None if found is None else int(found["version"])


def restoring_since(database: Database) -> datetime | None:
    """Return when an unfinished restore began, or None if there is none.

    Raises:
        Unavailable: the database does not answer.
    """
    found = (_read(database) or {}).get("restoring_since")
    return found if isinstance(found, datetime) else None


def is_sharded(database: Database) -> bool:
    """Return whether `store/maintenance/sharding.py` has sharded the collections.

    Raises:
        Unavailable: the database does not answer.
    """
    return bool((_read(database) or {}).get("sharded"))


def note_sharded(database: Database) -> None:
    """Store that the collections are being sharded. Call after `ensure`.

    Raises:
        Unavailable: the database failed.
    """
    with database_errors(writing=True):
        database[COLLECTION].update_one({"_id": _ID}, {"$set": {"sharded": True}})


def check(version: int, what: str) -> None:
    """Check that this service can read a schema version.

    Args:
        what: the database or backup with that version, for the error message.

    Raises:
        SchemaError: a later version of the service has written it.
    """
    if version > VERSION:
        raise SchemaError(
            f"{what} has schema version {version}, but this event-service supports {VERSION}: "
            "install the later event-service that wrote it"
        )


def check_restored(database: Database) -> None:
    """Check that no restore into the database is unfinished.

    Raises:
        SchemaError: one is.
        Unavailable: the database does not answer.
    """
    if since := restoring_since(database):
        raise SchemaError(
            f"the restore into the database {database.name!r} that began at {since:%Y-%m-%d %H:%M:%S} UTC is not "
            "finished: run it again with `event-service db restore --replace`"
        )


def ensure(database: Database) -> None:
    """Store this service's version in a database without one.

    Raises:
        SchemaError: the database has a later version, or a restore into it is unfinished.
        Unavailable: the database does not answer.
    """
    check_restored(database)
    version = stored_version(database)
    if version is None:  # a new or an upstream database
        with database_errors(writing=True):
            try:
                database[COLLECTION].insert_one({"_id": _ID, "version": VERSION, "since": datetime.now(UTC)})
            except DuplicateKeyError:  # another replica was faster
                return ensure(database)
    else:
        check(version, f"the database {database.name!r}")
    return None


def begin_restore(database: Database, at: datetime) -> None:
    """Mark the database as being restored, so that no service starts on it."""
    marked = {"$set": {"restoring_since": at}, "$setOnInsert": {"version": VERSION}}
    with database_errors(writing=True):
        database[COLLECTION].update_one({"_id": _ID}, marked, upsert=True)


def end_restore(database: Database, version: int) -> None:
    """Remove the mark of `begin_restore` and store the version; 0 for documents of an upstream database."""
    with database_errors(writing=True):
        if version:
            now = datetime.now(UTC)
            database[COLLECTION].replace_one({"_id": _ID}, {"version": version, "since": now}, upsert=True)
        else:
            database[COLLECTION].delete_one({"_id": _ID})


def _read(database: Database) -> Document | None:
    with database_errors():
        return database[COLLECTION].find_one({"_id": _ID})
