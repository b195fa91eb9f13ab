"""Many documents at once: inserts and updates in one journalled write each, look-ups by id.

MongoDB flushes its journal once for a whole bulk write. SecantusDB does so once for an insert of many, but for each
single update: 5 ms apiece against 0.7. Its journal is one log, though, and what is flushed is everything up to there:
so the updates go without waiting, and one small write behind them waits for all.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, ReplaceOne, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, BulkWriteError, DocumentTooLarge, ServerSelectionTimeoutError
from pymongo.write_concern import WriteConcern

from event_service.store.client import Document, is_secantus
from event_service.store.failures import DOCUMENT_TOO_LARGE, WriteFailure, write_errors, write_failures

Update: TypeAlias = UpdateOne | ReplaceOne[Document]

_NOT_WAITED_FOR = WriteConcern(w="majority", j=False)
_BARRIER = "health"
_IDS = 256
_PART_BYTES = 16_000_000  # of documents in one command, which the driver refuses beyond 16 MiB and 16 KiB in all
_WORTHWHILE = 3  # with fewer updates the barrier costs more than it saves

_flushes_each: WeakKeyDictionary[MongoClient[Any], bool] = WeakKeyDictionary()


def insert_each(collection: Collection[Document], documents: Sequence[Document]) -> list[WriteFailure]:
    """Inserts documents, in no order; returns once all that were not refused are journalled.

    The driver's `insert_many` looks at each document and copies lists of them about, which costs as much as encoding
    them; the command goes without. Like the driver it sends everything once more where the connection broke before
    the answer came. What the first attempt had stored is then refused as a DUPLICATE_KEY.

    What is more than one command holds goes in several, one after the other. If one of them fails, nothing is known of
    any document: as with one command whose answer is lost, those of the commands before it are stored.

    Args:
        documents: each with its `_id`.

    Returns:
        the members that were refused.
    """
    if not isinstance(collection, Collection):  # mongomock
        try:
            collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            return write_errors(error)
        return []
    with suppress(DocumentTooLarge):  # the command as a whole is; the driver has sent nothing of it
        return _insert(collection, documents)
    failures: list[WriteFailure] = []
    for start, part in _parts(collection, documents):
        failures += (replace(failure, index=start + failure.index) for failure in _insert_part(collection, part))
    return failures


def _insert(collection: Collection[Document], documents: Sequence[Document | RawBSONDocument]) -> list[WriteFailure]:
    command = {
        "insert": collection.name,
        "documents": documents,
        "ordered": False,
        "writeConcern": collection.write_concern.document,
    }
    try:
        reply = collection.database.command(command)
    except ServerSelectionTimeoutError:
        raise
    except AutoReconnect:
        reply = collection.database.command(command)
    return write_failures(reply.get("writeErrors", ()), reply.get("writeConcernError"))


def _parts(
    collection: Collection[Document], documents: Iterable[Document]
) -> Iterator[tuple[int, list[RawBSONDocument]]]:
    """The encoded documents in runs that a command holds, or of one that is larger; each with its first one's index."""
    start, size = 0, 0
    part: list[RawBSONDocument] = []
    for index, document in enumerate(documents):
        encoded = bson.encode(document, codec_options=collection.codec_options)
        if part and size + len(encoded) > _PART_BYTES:
            yield start, part
            start, size, part = index, 0, []
        part.append(RawBSONDocument(encoded))
        size += len(encoded)
    yield start, part


def _insert_part(collection: Collection[Document], part: Sequence[RawBSONDocument]) -> list[WriteFailure]:
    try:
        return _insert(collection, part)
    except DocumentTooLarge as error:  # alone: larger than any document may be
        return [WriteFailure(index=0, code=DOCUMENT_TOO_LARGE, key="", message=str(error))]


def write_updates(collection: Collection[Document], updates: Sequence[Update]) -> None:
    """Carries out updates, in no order; returns once all of them are journalled.

    Raises:
        BulkWriteError: some were refused; all others are journalled nevertheless.
    """
    if len(updates) < _WORTHWHILE or not _flushes_each_update(collection):
        collection.bulk_write(updates, ordered=False)
        return
    try:
        collection.with_options(write_concern=_NOT_WAITED_FOR).bulk_write(updates, ordered=False)
    finally:
        # A change every time: an update that changes nothing flushes nothing.
        collection.database[_BARRIER].update_one({"_id": "barrier"}, {"$inc": {"writes": 1}}, upsert=True)


def find_by_id(
    collection: Collection[Document],
    ids: Iterable[Any],
    projection: Mapping[str, Any] | None = None,
    *,
    max_time_ms: int,
) -> Iterator[Document]:
    """The documents that are there. Not all in one query: SecantusDB compares each of them with the whole list."""
    wanted = list(ids)
    for start in range(0, len(wanted), _IDS):
        found = collection.find({"_id": {"$in": wanted[start : start + _IDS]}}, projection, max_time_ms=max_time_ms)
        yield from found


def _flushes_each_update(collection: Collection[Document]) -> bool:
    if not isinstance(collection, Collection):  # mongomock
        return False
    client = collection.database.client
    known = _flushes_each.get(client)
    if known is None:
        known = _flushes_each[client] = is_secantus(collection.database)
    return known
