"""Backs a database up into one file, and restores it.

A backup may be made while services run. It is no snapshot: collections are read one after the other, in the order that
makes what was read earlier true of what is read later, as after a crash. Claims first: whoever was told "stored" has
its events in what follows. Conditions before the alerts and events they speak of. Events last. What was acknowledged
before the backup began is in it.

No access key is in a backup in clear, also where the database still has it so.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, cast

import bson
from bson.raw_bson import RawBSONDocument

from event_service.store import indexes, schema
from event_service.store.client import Database, DatabaseSettingsError
from event_service.store.driver_errors import database_errors
from event_service.store.maintenance.archive import ArchiveReader, ArchiveWriter, Manifest
from event_service.store.webhook_documents import without_clear_keys

COLLECTIONS = (
    indexes.IDEMPOTENCY_KEY,
    indexes.CONDITION,
    indexes.ALERT,
    indexes.WEBHOOK,
    schema.COLLECTION,
    indexes.EVENT,
)
"""What is backed up, in this order. `health` and `bulk`'s barrier mean nothing elsewhere, rollups are counted anew."""

BATCH_DOCUMENTS = 1000
BATCH_BYTES = 8 * 1024 * 1024

Progress = Callable[[str, int], None]
"""Told of each collection, and how many of its documents were copied in this step."""


class RestoreRefused(DatabaseSettingsError):
    """The archive is not restored into this database; the text is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database holds of this service's, and of others.

    Attributes:
        documents: an estimate for each collection, by name.
        others: collections that are not this service's, and are not backed up.
    """

    documents: Mapping[str, int]
    others: tuple[str, ...]


def contents(database: Database) -> Contents:
    """Looks at the collections.

    Raises:
        Unavailable: the database does not answer.
    """
    with database_errors():
        names = database.list_collection_names()
        documents = {name: database[name].estimated_document_count() for name in COLLECTIONS if name in names}
    own = {*COLLECTIONS, indexes.ROLLUP, "health"}
    others = sorted(name for name in names if name not in own and not name.startswith("system."))
    return Contents(documents, tuple(others))


def back_up(
    database: Database, target: IO[bytes], service_version: str, progress: Progress = lambda _name, _count: None
) -> Manifest:
    """Writes an archive of the database.

    Raises:
        SchemaError: a restore into the database has not been finished.
        Unavailable: the database failed; what was written is no archive.
        OSError: the file cannot be written.
    """
    schema.check_restored(database)
    archive = ArchiveWriter(
        target, database=database.name, service=service_version, schema=schema.stored_version(database) or 0
    )
    with database_errors():
        for name in COLLECTIONS:
            for count in archive.write(name, _read(database, name), list(database[name].list_indexes())):
                progress(name, count)
    return archive.close()


def _read(database: Database, name: str) -> Iterable[bytes]:
    """The documents of a collection as BSON, many at once."""
    if name == indexes.WEBHOOK:
        return (bson.encode(without_clear_keys(document)) for document in database[name].find())
    return cast("Iterable[bytes]", database[name].find_raw_batches(batch_size=BATCH_DOCUMENTS))


def restore(
    database: Database,
    archive: ArchiveReader,
    *,
    replace: bool = False,
    progress: Progress = lambda _name, _count: None,
) -> None:
    """Puts an archive's documents into the database, and makes the indexes.

    The archive is read as a whole before anything is changed. Until the restore has ended the database says so, and no
    service starts on it.

    Args:
        replace: take the place of what is there; otherwise the database must be empty.

    Raises:
        ArchiveError: the archive is damaged; nothing was changed.
        RestoreRefused: the database is not empty; nothing was changed.
        SchemaError: a later version of the service made the backup.
        Unavailable: the database failed half-way. Run it again with `replace`.
    """
    schema.check(archive.manifest.schema, f"the backup of {archive.manifest.database!r}")
    archive.verify()
    with database_errors(writing=True):
        if not replace:
            _demand_empty(database)
        schema.begin_restore(database, datetime.now(UTC))
        database[indexes.ROLLUP].drop()
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


def _demand_empty(database: Database) -> None:
    for name in COLLECTIONS:
        if name != schema.COLLECTION and database[name].find_one({}, {"_id": True}) is not None:
            raise RestoreRefused(f"the database {database.name!r} is not empty: it has documents in {name!r}")


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
