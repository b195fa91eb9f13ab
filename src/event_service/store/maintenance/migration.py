"""Brings an upstream database wholly into this service's form, instead of document by document at first use.

Nothing waits for it: clear access keys are hashed when a webhook is first used, and the reply of an event without
`wire` is put together when it is read. Done at once, no clear key is left, and old events are read as cheaply as new
ones. It may be stopped at any time and run again, also while services run on the database. Upstream's own services must
not: they would not know their keys again.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from event_service.errors import EventServiceError, TooLarge
from event_service.store.client import Database, Document
from event_service.store.documents import WIRE, document_wire
from event_service.store.driver_errors import database_errors, translate_write, write_errors
from event_service.store.webhook_documents import CLEAR_KEYS
from event_service.store.webhooks import WebhookStore

Progress = Callable[[int], None]
"""Told how many documents have been looked at so far."""

BATCH_DOCUMENTS = 500
BATCH_BYTES = 4 * 1024 * 1024

_WITH_CLEAR_KEY: Document = {"$or": [{name: {"$exists": True}} for name in CLEAR_KEYS]}
_WITHOUT_REPLY: Document = {WIRE: {"$exists": False}}


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is left to migrate.

    Attributes:
        clear_keys: webhooks whose access key is stored in clear.
        events: events without a finished reply.
    """

    clear_keys: int
    events: int


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was done.

    Attributes:
        left: events that cannot hold their reply (it does not fit into a document beside them, or a value in them
            cannot be put on the wire); they go on being put together when they are read, as far as that is possible.
    """

    keys: int
    events: int
    left: int


def backlog(database: Database) -> Backlog:
    """Counts what is left. Reads both collections as a whole.

    Raises:
        Unavailable: the database does not answer.
    """
    with database_errors():
        return Backlog(
            clear_keys=database["webhook"].count_documents(_WITH_CLEAR_KEY),
            events=database["event"].count_documents(_WITHOUT_REPLY),
        )


def migrate(database: Database, timeout_ms: int, progress: Progress = lambda _: None) -> Migrated:
    """Hashes all clear keys, then gives every event its finished reply.

    Args:
        timeout_ms: of one query.

    Raises:
        Unavailable: the database failed. What was done stays done; run it again.
    """
    keys = WebhookStore(database, timeout_ms).hash_clear_keys()
    events = looked_at = size = 0
    updates: list[UpdateOne] = []
    with database_errors(writing=True):
        for document in database["event"].find(_WITHOUT_REPLY):
            looked_at += 1
            try:
                wire = document_wire(document)
            except EventServiceError:
                continue
            # Only where there is still none: somebody else may be migrating, too.
            updates.append(UpdateOne({"_id": document["_id"], **_WITHOUT_REPLY}, {"$set": {WIRE: wire}}))
            size += len(wire)
            if len(updates) == BATCH_DOCUMENTS or size > BATCH_BYTES:
                events += _write(database, updates)
                updates, size = [], 0
                progress(looked_at)
        events += _write(database, updates)
    progress(looked_at)
    return Migrated(keys, events, looked_at - events)


def _write(database: Database, updates: list[UpdateOne]) -> int:
    """Returns how many of the documents have their reply now; into the others it does not fit.

    Raises:
        EventServiceError: anything else is in the way.
    """
    if not updates:
        return 0
    try:
        database["event"].bulk_write(updates, ordered=False)
    except BulkWriteError as error:
        failures = write_errors(error)
        for failure in failures:
            refusal = translate_write(failure)
            if not isinstance(refusal, TooLarge):
                raise refusal from error
        return len(updates) - len(failures)
    return len(updates)
