"""Brings stored events into line with how long events are to be kept.

Events carry the day on which they go (`expire_at`), and a TTL index deletes them; that needs nothing of this module.
It is for events that were stored under other settings, by upstream, or by versions of this service that had a TTL
index on created_at. Alerts, conditions and claims are not looked at: see docs/database.md.

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

from pymongo import ASCENDING, UpdateOne

from event_service.model.retention import Retention
from event_service.model.webhook import Webhook
from event_service.store import indexes
from event_service.store.background import Background
from event_service.store.bulk import write_updates
from event_service.store.client import Database
from event_service.store.documents import EXPIRE_AT
from event_service.store.failures import database_errors
from event_service.store.totals import tally_keeping
from event_service.store.webhook_documents import webhook_of
from event_service.wire.timestamps import utc_now

_log = logging.getLogger(__name__)

BATCH = 256
"""Events of one write: SecantusDB compares each document with the whole list of ids."""

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
    only_unstamped: bool = False,
    progress: Progress = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Pruned:
    """Gives every event the day it goes by the present settings and webhooks, and deletes those whose day has come.

    An event without a time of receipt is left alone.

    Args:
        now: aware UTC.
        dry_run: only count.
        only_unstamped: leave events alone that carry a day.
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
        matching = {EXPIRE_AT: None} if only_unstamped else {}
        for document in database[indexes.EVENT].find(matching, _LOOKED_AT):
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
            tally_keeping.forget(database[tally_keeping.COLLECTION])
    progress(looked_at)
    return result


def event_count(database: Database) -> int:
    """How many events there are, roughly and at once.

    Raises:
        Unavailable: the database does not answer.
    """
    with database_errors():
        return database[indexes.EVENT].estimated_document_count()


def has_old_index(database: Database) -> bool:
    """Whether an earlier version's TTL index on created_at is there.

    Raises:
        Unavailable: the database does not answer.
    """
    with database_errors():
        return any(index["name"] == indexes.RETENTION for index in database[indexes.EVENT].list_indexes())


def replace_old_index(
    database: Database,
    retention: Retention,
    *,
    stop: Callable[[], bool] = lambda: False,
    now: Callable[[], datetime] = utc_now,
) -> None:
    """Gives the events an earlier version has stored the day they go, and removes its TTL index on created_at.

    In that order: meanwhile, and after a crash, they go as they went before.

    Raises:
        Unavailable: the database failed. Run it again.
    """
    if not retention.keeps_everything:
        prune(database, retention, now(), only_unstamped=True, stop=stop)
    if stop():
        return
    with database_errors(writing=True):
        events = database[indexes.EVENT]
        for index in list(events.list_indexes()):
            if index["name"] == indexes.RETENTION:
                ascending = dict(index["key"]) == {"created_at": ASCENDING}
                events.drop_index(indexes.RETENTION)
                if ascending:  # the embedded database reads its lists by it
                    events.create_index([("created_at", ASCENDING)])


def replace_in_background(database: Database, retention: Retention) -> Background:
    """`replace_old_index` in the background, until it has succeeded."""
    _log.warning("events of an earlier version are given the day they go; its TTL index is removed afterwards")
    return Background("retention", lambda stopping: replace_old_index(database, retention, stop=stopping))


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
    tally_keeping.forget(database[tally_keeping.COLLECTION])
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
        write_updates(events, updates)
