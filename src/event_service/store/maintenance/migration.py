"""Migrates an upstream database: hashes access keys in clear, adds the encoded reply to events, and sorts their keys.

Optional: otherwise a key is hashed when its webhook is first used, events without `wire` are encoded at every read, and
an object in them equals only one with the same order of keys.
It may be interrupted and run again, also while services of this version run. Upstream's services must be stopped: they
need the keys in clear.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from event_service.errors import EventServiceError, TooLarge
from event_service.store.client import Database, Document
from event_service.store.documents import PAYLOADS, WIRE, document_wire, stored_object
from event_service.store.driver_errors import database_errors, translate_write, write_errors
from event_service.store.webhook_documents import CLEAR_KEYS
from event_service.store.webhooks import WebhookStore

Progress = Callable[[int], None]
"""Called with the number of events read so far."""

BATCH_DOCUMENTS = 500
BATCH_BYTES = 4 * 1024 * 1024

_WITH_CLEAR_KEY: Document = {"$or": [{name: {"$exists": True}} for name in CLEAR_KEYS]}
_WITHOUT_WIRE: Document = {WIRE: {"$exists": False}}


@dataclass(frozen=True, slots=True)
class Backlog:
    """Numbers of documents left to migrate.

    Attributes:
        clear_keys: webhooks with an access key in clear.
        events: events without an encoded reply.
    """

    clear_keys: int
    events: int


@dataclass(frozen=True, slots=True)
class Migrated:
    """Numbers of migrated documents.

    Attributes:
        left: events whose encoded reply does not fit into the document, or that cannot be encoded. They are encoded at
            every read, as far as possible.
    """

    keys: int
    events: int
    left: int


def backlog(database: Database) -> Backlog:
    """Count the documents left to migrate. Reads both collections in full.

    Raises:
        Unavailable: the database does not answer.
    """
    with database_errors():
        return Backlog(
            clear_keys=database["webhook"].count_documents(_WITH_CLEAR_KEY),
            events=database["event"].count_documents(_WITHOUT_WIRE),
        )


def migrate(database: Database, timeout_ms: int, progress: Progress = lambda _: None) -> Migrated:
    """Hash all keys in clear, then add the encoded reply to every event, with sorted keys in its payload.

    Args:
        timeout_ms: maxTimeMS of a query.

    Raises:
        Unavailable: the database failed. Earlier writes stay; run it again.
    """
    keys = WebhookStore(database, timeout_ms).hash_clear_keys()
    events = read = size = 0
    updates: list[UpdateOne] = []
    sorts: list[UpdateOne] = []
    with database_errors(writing=True):
        for document in database["event"].find(_WITHOUT_WIRE):
            read += 1
            try:
                wire = document_wire(document)
            except EventServiceError:  # cannot be encoded: counted as left
                continue
            # Compare-and-set: another process may migrate at the same time.
            updates.append(UpdateOne({"_id": document["_id"], **_WITHOUT_WIRE}, {"$set": {WIRE: wire}}))
            payloads = {
                name: stored_object(document[name]) for name in PAYLOADS if isinstance(document.get(name), dict)
            }
            if payloads:
                sorts.append(UpdateOne({"_id": document["_id"]}, {"$set": payloads}))
            size += len(wire)
            if len(updates) == BATCH_DOCUMENTS or size > BATCH_BYTES:
                events += _write(database, sorts, updates)
                updates, sorts, size = [], [], 0
                progress(read)
        events += _write(database, sorts, updates)
    progress(read)
    return Migrated(keys, events, read - events)


def _write(database: Database, sorts: list[UpdateOne], updates: list[UpdateOne]) -> int:
    """Return how many documents have their encoded reply now; the others would become too large.

    Raises:
        EventServiceError: the database failed.
    """
    if not updates:
        return 0
    try:
        database["event"].bulk_write([*sorts, *updates], ordered=False)
    except BulkWriteError as error:
        failures = write_errors(error)
        for failure in failures:
            refusal = translate_write(failure)
            if not isinstance(refusal, TooLarge):
                raise refusal from error
        return len(updates) - len(failures)
    return len(updates)
