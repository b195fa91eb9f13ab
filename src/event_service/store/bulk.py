"""Many documents at once: inserts and updates in one journalled write each."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, BulkWriteError, DocumentTooLarge, ServerSelectionTimeoutError

from event_service.store.client import Document
from event_service.store.driver_errors import DOCUMENT_TOO_LARGE, WriteFailure, write_errors, write_failures

_PART_BYTES = 16_000_000  # of documents in one command, which the driver refuses beyond 16 MiB and 16 KiB in all


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
