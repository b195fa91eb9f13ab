"""Bulk inserts and updates of a transaction."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.errors import DocumentTooLarge

from event_service.store.client import Document
from event_service.store.driver_errors import DOCUMENT_TOO_LARGE, WriteFailure, WriteRefused, write_failures
from event_service.store.transaction import Session

_CHUNK_BYTES = 16_000_000  # of documents in one command; the driver refuses commands above 16 MiB + 16 KiB


def insert_all(collection: Collection[Document], documents: Sequence[Document], session: Session) -> None:
    """Insert documents in the session's transaction, after its first read; in several commands if they exceed one.

    Sends the `insert` command itself, because `Collection.insert_many` spends as much time on copies of the documents
    as on encoding them.

    Args:
        documents: each with its `_id`.

    Raises:
        WriteRefused: the server refuses a document; it has aborted the transaction.
        PyMongoError: the database failed.
    """
    if not documents:
        return
    # The command is too large; the driver has sent none of it. It would not start the transaction again either.
    with suppress(DocumentTooLarge):
        _insert(collection, 0, documents, session)
        return
    for start, chunk in _chunks(collection, documents):
        try:
            _insert(collection, start, chunk, session)
        except DocumentTooLarge as error:  # the chunk is a single document
            raise WriteRefused(collection.name, WriteFailure(start, DOCUMENT_TOO_LARGE, "", str(error))) from error


def update_all(
    collection: Collection[Document], updates: Sequence[tuple[Document, Document]], session: Session
) -> None:
    """Run updates of one document each in the session's transaction, after its first read.

    Sends the `update` command itself, as `insert_all` does.

    Args:
        updates: filter and update operators of each.

    Raises:
        WriteRefused: the server refuses an update; it has aborted the transaction.
        PyMongoError: the database failed.
    """
    if not updates:
        return
    statements = [{"q": matching, "u": update} for matching, update in updates]
    try:
        reply = collection.database.command({"update": collection.name, "updates": statements}, session=session)
    except DocumentTooLarge:
        if len(updates) == 1:
            raise
        middle = len(updates) // 2
        update_all(collection, updates[:middle], session)
        update_all(collection, updates[middle:], session)
        return
    for failure in write_failures(reply.get("writeErrors", ())):
        raise WriteRefused(collection.name, failure)


def _insert(
    collection: Collection[Document], start: int, documents: Sequence[Document | RawBSONDocument], session: Session
) -> None:
    command = {"insert": collection.name, "documents": documents}
    reply = collection.database.command(command, session=session)
    for failure in write_failures(reply.get("writeErrors", ())):
        raise WriteRefused(collection.name, failure.after(start))


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
