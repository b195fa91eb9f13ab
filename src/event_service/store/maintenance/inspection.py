"""Checks of `event-service db check`: versions, indexes, documents left to migrate. Read-only."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from event_service.model.webhook import Webhook
from event_service.store import indexes, schema
from event_service.store.client import Database
from event_service.store.driver_errors import database_errors
from event_service.store.maintenance import alert_states, migration
from event_service.store.maintenance.backup import contents
from event_service.store.webhook_documents import webhook_of


class Verdict(StrEnum):
    """Verdict of a check; a FAULT keeps the service from starting."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Observation:
    """Result of one check.

    Attributes:
        what: the checked part of the database.
        advice: what to do; "" if OK.
    """

    what: str
    verdict: Verdict
    detail: str
    advice: str = ""


def inspect(database: Database, timeout_ms: int) -> Iterator[Observation]:
    """Yield the result of each check. Reads whole collections.

    Raises:
        Unavailable: the database does not answer.
    """
    yield _server(database)
    version = _version(database)
    yield version
    if version.verdict is Verdict.FAULT:
        return
    yield _indexes(database)
    yield from _documents(database)
    yield from _migration_backlog(database)
    yield _alerts(database, timeout_ms)


def webhooks(database: Database) -> Iterator[Webhook]:
    """Yield every webhook of every domain.

    Raises:
        Unavailable: the database does not answer.
    """
    with database_errors():
        for row in database[indexes.WEBHOOK].find():
            yield webhook_of(row)


def _server(database: Database) -> Observation:
    with database_errors():
        build = database.client.admin.command("buildInfo")
    return Observation("server", Verdict.OK, f"MongoDB {build.get('version', '')}, database {database.name}")


def _version(database: Database) -> Observation:
    since, version = schema.restoring_since(database), schema.stored_version(database)
    if since is not None:
        advice = "Run it again: event-service db restore --replace FILE"
        detail = f"the restore that began at {since:%Y-%m-%d %H:%M:%S} UTC is not finished"
        return Observation("schema", Verdict.FAULT, detail, advice)
    if version is None:
        return Observation("schema", Verdict.OK, "no version: a new or an upstream database; the first start stores it")
    if version > schema.VERSION:
        detail = f"version {version}, but this event-service supports {schema.VERSION}"
        return Observation("schema", Verdict.FAULT, detail, "Install the later event-service that wrote it.")
    return Observation("schema", Verdict.OK, f"version {version}")


def _indexes(database: Database) -> Observation:
    expected = indexes.wanted(sharded=schema.is_sharded(database))
    difference = indexes.diff(database, expected)
    missing = [f"{index.collection}.{index.name}" for index in (*difference.missing, *difference.changed)]
    if missing:
        advice = "Start a service or run `event-service db migrate` to create them."
        return Observation("indexes", Verdict.WARNING, f"missing: {', '.join(missing)}", advice)
    if difference.not_unique:
        names = ", ".join(f"{index.collection}.{index.name}" for index in difference.not_unique)
        advice = "Remove duplicate values, drop the index, and start the service."
        return Observation("indexes", Verdict.WARNING, f"not unique, created by another program: {names}", advice)
    others = f", {len(difference.superfluous)} of other programs" if difference.superfluous else ""
    return Observation("indexes", Verdict.OK, f"all {len(expected)} exist{others}")


def _documents(database: Database) -> Iterator[Observation]:
    found = contents(database)
    counts = ", ".join(f"{count} in {name}" for name, count in found.documents.items() if name != schema.COLLECTION)
    yield Observation("documents", Verdict.OK, counts or "none")
    if found.others:
        detail = f"of other programs: {', '.join(found.others)}"
        yield Observation("collections", Verdict.OK, f"{detail}; neither read nor backed up")


def _migration_backlog(database: Database) -> Iterator[Observation]:
    left = migration.backlog(database)
    if left.clear_keys:
        detail = f"{left.clear_keys} stored in clear, as upstream does"
        advice = "Deliveries hash them one by one; run `event-service db migrate` to hash all."
        yield Observation("access keys", Verdict.WARNING, detail, advice)
    else:
        yield Observation("access keys", Verdict.OK, "none stored in clear")
    if left.events:
        detail = f"{left.events} without an encoded reply, which makes reads slower"
        yield Observation("events", Verdict.WARNING, detail, "Run `event-service db migrate` to encode all.")
    else:
        yield Observation("events", Verdict.OK, "all have an encoded reply")


def _alerts(database: Database, timeout_ms: int) -> Observation:
    found = alert_states.find(database, timeout_ms)
    if not any(found):
        return Observation("alerts", Verdict.OK, "agree with their conditions")
    detail = f"{found.conditions} conditions are open without an alert, {found.alerts} alerts without a condition"
    return Observation("alerts", Verdict.WARNING, detail, "Run `event-service db migrate` to close them.")
