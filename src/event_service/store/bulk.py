"""Bulk inserts that report each refused document."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, BulkWriteError, DocumentTooLarge, ServerSelectionTimeoutError

from event_service.store.client import Document
from event_service.store.driver_errors import DOCUMENT_TOO_LARGE, WriteFailure, write_errors, write_failures

_CHUNK_BYTES = 16_000_000  # of documents in one command; the driver refuses commands above 16 MiB + 16 KiB


def insert_each(collection: Collection[Document], documents: Sequence[Document]) -> list[WriteFailure]:
    """Insert documents unordered, and return once all that were not refused are journalled by a majority.

    Sends the `insert` command itself, because `Collection.insert_many` spends as much time on copies of the documents
    as on encoding them. Like the driver, it retries once after a connection error; documents that the first attempt
    stored are then refused as DUPLICATE_KEY.

    Documents that exceed one command are sent in several, one after the other. If one of those fails, the documents of
    earlier commands are stored: the caller has to retry all, as after a lost reply.

    Args:
        documents: each with its `_id`.

    Returns:
        One failure for each refused document.

    Raises:
        PyMongoError: nothing is known of any document.
    """
    if not isinstance(collection, Collection):  # mongomock
        try:
            collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            return write_errors(error)
        return []
    with suppress(DocumentTooLarge):  # the command is; the driver has sent none of it
        return _insert(collection, documents)
    failures: list[WriteFailure] = []
    for start, chunk in _chunks(collection, documents):
        failures += (replace(failure, index=start + failure.index) for failure in _insert_chunk(collection, chunk))
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
    except ServerSelectionTimeoutError:  # an AutoReconnect too, but nothing was sent
        raise
    except AutoReconnect:
        reply = collection.database.command(command)
    return write_failures(reply.get("writeErrors", ()), reply.get("writeConcernError"))


def _chunks(
    collection: Collection[Document], documents: Iterable[Document]
) -> Iterator[tuple[int, list[RawBSONDocument]]]:
    """Yield (index of the first document, encoded documents) that fit a command, or one document that does not."""
    start, size = 0, 0
    chunk: list[RawBSONDocument] = []
    for index, document in enumerate(documents):
        encoded = bson.encode(document, codec_options=collection.codec_options)
        if chunk and size + len(encoded) > _CHUNK_BYTES:
            yield start, chunk
            start, size, chunk = index, 0, []
        chunk.append(RawBSONDocument(encoded))
        size += len(encoded)
    yield start, chunk


def _insert_chunk(collection: Collection[Document], chunk: Sequence[RawBSONDocument]) -> list[WriteFailure]:
    try:
        return _insert(collection, chunk)
    except DocumentTooLarge as error:  # the chunk is a single document
        return [WriteFailure(index=0, code=DOCUMENT_TOO_LARGE, key="", message=str(error))]
