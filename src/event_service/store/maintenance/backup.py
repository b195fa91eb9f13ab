"""Backs up a database into one file, and restores it.

A backup may be made while services run: all collections are read in one snapshot. MongoDB 4.4 has none: there they are
read one after the other, idempotency records first, so that an event that one names is never missing. Every write
acknowledged before the backup began is in it.

A backup holds no access key in clear, even if an upstream database does.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, cast

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure

from event_service.errors import EventServiceError, Unavailable
from event_service.store import indexes, lease, schema
from event_service.store.client import Database, DatabaseSettingsError
from event_service.store.driver_errors import database_errors
from event_service.store.maintenance.archive import ArchiveReader, ArchiveWriter, Manifest
from event_service.store.webhook_documents import without_clear_keys

COLLECTIONS = (
    indexes.IDEMPOTENCY_KEY,
    indexes.CONDITION,
    indexes.ALERT,
    indexes.ALERT_COUNTER,
    indexes.WEBHOOK,
    schema.COLLECTION,
    indexes.EVENT,
)
"""The collections of a backup, in this order. Not `health` and `lease`, which are transient, nor rollups, which are
rebuilt.
"""

_WIRE_VERSION_OF_SNAPSHOTS = 13  # of MongoDB 5.0
_SNAPSHOT_TOO_OLD = 239
_TOO_SLOW = (
    "The backup took longer than the server keeps a snapshot; set its parameter minSnapshotHistoryWindowInSeconds "
    "(300 by default) to a longer time, or use MongoDB's own tools."
)

BATCH_DOCUMENTS = 1000
BATCH_BYTES = 8 * 1024 * 1024

Progress = Callable[[str, int], None]
"""Called with a collection and the number of documents copied in this step."""


class RestoreRefused(DatabaseSettingsError):
    """The database is not empty. The message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The collections of a database.

    Attributes:
        documents: estimated number of documents of each of this service's collections.
        others: collections of other programs, which are not backed up.
    """

    documents: Mapping[str, int]
    others: tuple[str, ...]


def contents(database: Database) -> Contents:
    """Return the collections of a database.

    Raises:
        Unavailable: the database does not answer.
    """
    with database_errors():
        names = database.list_collection_names()
        documents = {name: database[name].estimated_document_count() for name in COLLECTIONS if name in names}
    own = {*COLLECTIONS, indexes.ROLLUP, "health", lease.COLLECTION}
    others = sorted(name for name in names if name not in own and not name.startswith("system."))
    return Contents(documents, tuple(others))


def back_up(
    database: Database, target: IO[bytes], service_version: str, progress: Progress = lambda _name, _count: None
) -> Manifest:
    """Write an archive of the database.

    Raises:
        SchemaError: a restore into the database is unfinished.
        Unavailable: the database failed; the file is not an archive.
        OSError: the file cannot be written.
    """
    schema.check_restored(database)
    archive = ArchiveWriter(
        target, database=database.name, service=service_version, schema=schema.stored_version(database) or 0
    )
    try:
        with database_errors(), _snapshot(database) as session:
            for name in COLLECTIONS:
                for count in archive.write(name, _read(database, name, session), list(database[name].list_indexes())):
                    progress(name, count)
    except EventServiceError as error:
        if isinstance(error.__cause__, OperationFailure) and error.__cause__.code == _SNAPSHOT_TOO_OLD:
            raise Unavailable(_TOO_SLOW) from error.__cause__
        raise
    return archive.close()


def _snapshot(database: Database) -> AbstractContextManager[ClientSession | None]:
    """Return a session whose reads all see the database at the time of the first one; None for MongoDB 4.4."""
    if database.client.admin.command("hello")["maxWireVersion"] < _WIRE_VERSION_OF_SNAPSHOTS:
        return nullcontext()
    return database.client.start_session(snapshot=True)


def _read(database: Database, name: str, session: ClientSession | None) -> Iterable[bytes]:
    """Return batches of concatenated BSON documents."""
    if name == indexes.WEBHOOK:  # decoded, to hash keys in clear
        return (bson.encode(without_clear_keys(document)) for document in database[name].find(session=session))
    return cast("Iterable[bytes]", database[name].find_raw_batches(batch_size=BATCH_DOCUMENTS, session=session))


def restore(
    database: Database,
    archive: ArchiveReader,
    *,
    replace: bool = False,
    progress: Progress = lambda _name, _count: None,
) -> None:
    """Restore an archive into the database, and create the indexes.

    Reads the whole archive before it changes anything. The database is marked until the restore has ended, so that no
    service starts on it.

    Args:
        replace: drop existing documents; otherwise the database must be empty.

    Raises:
        ArchiveError: the archive is damaged; nothing was changed.
        RestoreRefused: the database is not empty; nothing was changed.
        SchemaError: a later version of the service made the backup.
        Unavailable: the database failed. Run it again with `replace`.
    """
    schema.check(archive.manifest.schema, f"the backup of {archive.manifest.database!r}")
    archive.verify()
    with database_errors(writing=True):
        if not replace:
            _check_empty(database)
        schema.begin_restore(database, datetime.now(UTC))
        database[indexes.ROLLUP].drop()  # its counts are those of the old events
        for name in COLLECTIONS:
            if name == schema.COLLECTION:
                continue
            database[name].drop()
            for batch in _batches(archive.documents(name)):
                database[name].insert_many(map(RawBSONDocument, batch), ordered=False)
                progress(name, len(batch))
    schema.end_restore(database, archive.manifest.schema)
    building = indexes.ensure(database)
    while building is not None and not building.wait(1.0):
        pass


def _check_empty(database: Database) -> None:
    for name in COLLECTIONS:
        if name != schema.COLLECTION and database[name].find_one({}, {"_id": True}) is not None:
            raise RestoreRefused(
                f"the database {database.name!r} is not empty: the collection {name!r} has documents; "
                "add --replace to drop them"
            )


def _batches(documents: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for document in documents:
        if batch and (len(batch) == BATCH_DOCUMENTS or size + len(document) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += len(document)
    if batch:
        yield batch
