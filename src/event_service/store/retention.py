"""Brings stored events into line with how long events are to be kept.

Events carry the day on which they go (`expire_at`), and a TTL index deletes them; that needs nothing of this module.
It is for events that were stored under other settings, or by upstream. Alerts, conditions and claims are not looked
at: see docs/database.md.

One pass over the collection, in the order the server likes, in small journalled writes; it may be stopped at any time
and run again.
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
"""Events of one write."""

_LOOKED_AT = {"created_at": True, "severity": True, "webhook_id": True, EXPIRE_AT: True}

Progress = Callable[[int], None]
"""Told how many events have been looked at so far."""


class Group(NamedTuple):
    """What is counted together. webhook_id is "" for an event without one."""

    webhook_id: str
    severity: str


@dataclass(slots=True)
class Pruned:
    """What a pass did, or would do.

    Attributes:
        deleted: events whose time is over, by webhook and severity.
        changed: events that are kept, and go on another day than before.
        names: of the webhooks, by id; those that are gone have none.
    """

    deleted: Counter[Group] = field(default_factory=Counter)
    changed: int = 0
    names: Mapping[str, str] = field(default_factory=dict)


class _Row(NamedTuple):
    """An event that is not as it should be. `expire_at` None: it is to be kept for ever."""

    object_id: Any
    group: Group
    gone: bool
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
    """Gives every event the day it goes by the present settings and webhooks, and deletes those whose day has come.

    An event without a time of receipt is left alone.

    Args:
        now: aware UTC.
        dry_run: only count.
        stop: asked before each write; True ends the pass.

    Raises:
        Unavailable: the database failed. What was done stays done; run it again.
    """
    with database_errors():
        webhooks = {webhook.webhook_id: webhook for webhook in map(webhook_of, database[indexes.WEBHOOK].find())}
    result = Pruned(names={webhook_id: webhook.name for webhook_id, webhook in webhooks.items()})
    looked_at = 0

    def rows() -> Iterator[_Row]:
        nonlocal looked_at
        for document in database[indexes.EVENT].find({}, _LOOKED_AT):
            looked_at += 1
            if looked_at % BATCH == 0:
                progress(looked_at)
            if row := _out_of_line(document, retention, webhooks, now):
                yield row

    found = rows()
    try:
        with database_errors(writing=True):
            while (batch := list(islice(found, BATCH))) and not stop():
                if not dry_run:
                    _write(database, batch)
                result.deleted.update(row.group for row in batch if row.gone)
                result.changed += sum(not row.gone for row in batch)
    finally:
        if not dry_run and (result.deleted or result.changed):
            rollup_store.clear(database[rollup_store.COLLECTION])
    progress(looked_at)
    return result


def event_count(database: Database) -> int:
    """How many events there are, roughly and at once.

    Raises:
        Unavailable: the database does not answer.
    """
    with database_errors():
        return database[indexes.EVENT].estimated_document_count()


def _out_of_line(
    document: Mapping[str, Any], retention: Retention, webhooks: Mapping[str, Webhook], now: datetime
) -> _Row | None:
    created_at, noted = document.get("created_at"), document.get(EXPIRE_AT)
    if not isinstance(created_at, datetime):
        return None
    group = Group(str(document.get("webhook_id") or ""), str(document.get("severity") or ""))
    webhook = webhooks.get(group.webhook_id)
    expire_at = retention.expire_at(created_at, group.severity, webhook.plugin.options if webhook else {})
    gone = expire_at is not None and expire_at <= now
    if expire_at == noted and not gone:
        return None
    return _Row(document["_id"], group, gone, expire_at)


def _write(database: Database, batch: Iterable[_Row]) -> None:
    events = database[indexes.EVENT]
    # Counts know when the first event of an hour is to be deleted.
    rollup_store.clear(database[rollup_store.COLLECTION])
    if gone := [row.object_id for row in batch if row.gone]:
        events.delete_many({"_id": {"$in": gone}})
    updates = [
        UpdateOne({"_id": row.object_id}, {"$set": {EXPIRE_AT: row.expire_at}})
        if row.expire_at
        else UpdateOne({"_id": row.object_id}, {"$unset": {EXPIRE_AT: ""}})
        for row in batch
        if not row.gone
    ]
    if updates:
        events.bulk_write(updates, ordered=False)
