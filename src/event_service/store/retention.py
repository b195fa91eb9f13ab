"""Applies the present retention settings to stored events.

New events get `expire_at` when they are stored, and the TTL index deletes them. This module is for events that were
stored under other settings or by upstream. Alerts, conditions and idempotency records do not change: see
docs/database.md.

One pass over the collection in natural order, in small journalled writes; it may be interrupted and run again.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from pymongo import UpdateOne

from event_service.model.retention import Retention
from event_service.model.webhook import Webhook
from event_service.store import indexes
from event_service.store.client import Database
from event_service.store.documents import EXPIRE_AT
from event_service.store.driver_errors import database_errors
from event_service.store.totals import rollup_store
from event_service.store.webhook_documents import webhook_of

_log = logging.getLogger(__name__)

BATCH = 1000
"""Number of events per write."""

_PROJECTION = {"created_at": True, "severity": True, "webhook_id": True, EXPIRE_AT: True}

Progress = Callable[[int], None]
"""Called with the number of events read so far."""


class Group(NamedTuple):
    """Key of the counts. webhook_id is "" for events without one."""

    webhook_id: str
    severity: str


@dataclass(slots=True)
class Pruned:
    """Result of a pass, or of a dry run.

    Attributes:
        deleted: number of expired events by webhook and severity.
        changed: number of events with a new `expire_at`, or with none any more.
        names: webhook names by id, without deleted webhooks.
    """

    deleted: Counter[Group] = field(default_factory=Counter)
    changed: int = 0
    names: Mapping[str, str] = field(default_factory=dict)


class _Change(NamedTuple):
    """An event to delete, or to give another `expire_at`; None for no expiry."""

    object_id: Any
    group: Group
    expired: bool
    expire_at: datetime | None


def prune(
    database: Database,
    retention: Retention,
    now: datetime,
    *,
    dry_run: bool = False,
    progress: Progress = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Pruned:
    """Set `expire_at` of every event by the present settings and webhooks, and delete expired events.

    Events without created_at do not change.

    Args:
        now: aware UTC.
        dry_run: only count.
        stop: called before each write; True ends the pass.

    Raises:
        Unavailable: the database failed. Earlier writes stay; run it again.
    """
    with database_errors():
        webhooks = {webhook.webhook_id: webhook for webhook in map(webhook_of, database[indexes.WEBHOOK].find())}
    result = Pruned(names={webhook_id: webhook.name for webhook_id, webhook in webhooks.items()})
    read = 0

    def changes() -> Iterator[_Change]:
        nonlocal read
        for document in database[indexes.EVENT].find({}, _PROJECTION):
            read += 1
            if read % BATCH == 0:
                progress(read)
            if change := _needed_change(document, retention, webhooks, now):
                yield change

    pending = changes()
    try:
        with database_errors(writing=True):
            while (batch := list(islice(pending, BATCH))) and not stop():
                if not dry_run:
                    _write(database, batch)
                result.deleted.update(change.group for change in batch if change.expired)
                result.changed += sum(not change.expired for change in batch)
    finally:
        if not dry_run and (result.deleted or result.changed):
            rollup_store.clear(database[rollup_store.COLLECTION])
    progress(read)
    return result


def event_count(database: Database) -> int:
    """Return an estimate of the number of events, from collection metadata.

    Raises:
        Unavailable: the database does not answer.
    """
    with database_errors():
        return database[indexes.EVENT].estimated_document_count()


def _needed_change(
    document: Mapping[str, Any], retention: Retention, webhooks: Mapping[str, Webhook], now: datetime
) -> _Change | None:
    created_at, stored = document.get("created_at"), document.get(EXPIRE_AT)
    if not isinstance(created_at, datetime):
        return None
    group = Group(str(document.get("webhook_id") or ""), str(document.get("severity") or ""))
    webhook = webhooks.get(group.webhook_id)
    expire_at = retention.expire_at(created_at, group.severity, webhook.plugin.options if webhook else {})
    expired = expire_at is not None and expire_at <= now
    if expire_at == stored and not expired:
        return None
    return _Change(document["_id"], group, expired, expire_at)


def _write(database: Database, batch: Iterable[_Change]) -> None:
    events = database[indexes.EVENT]
    # Before and after the pass: a rollup that is built meanwhile holds old counts and expiries.
    rollup_store.clear(database[rollup_store.COLLECTION])
    if expired := [change.object_id for change in batch if change.expired]:
        events.delete_many({"_id": {"$in": expired}})
    updates = [
        UpdateOne({"_id": change.object_id}, {"$set": {EXPIRE_AT: change.expire_at}})
        if change.expire_at
        else UpdateOne({"_id": change.object_id}, {"$unset": {EXPIRE_AT: ""}})
        for change in batch
        if not change.expired
    ]
    if updates:
        events.bulk_write(updates, ordered=False)
