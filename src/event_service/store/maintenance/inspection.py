"""What a database is like: its version, its indexes, what is left to migrate. Nothing is changed by looking."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from event_service.model.webhook import Webhook
from event_service.store import indexes, schema
from event_service.store.client import Database
from event_service.store.conditions import ConditionStore
from event_service.store.driver_errors import database_errors
from event_service.store.maintenance import migration
from event_service.store.maintenance.backup import contents
from event_service.store.webhook_documents import webhook_of

LEFT_BEHIND = timedelta(minutes=5)
"""A running service closes after a minute what a process that died has left to be closed."""


class Verdict(StrEnum):
    """How something is: as it should be, worth a look, or in the way of the service."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing looked at.

    Attributes:
        advice: what to do; "" where all is well.
    """

    what: str
    verdict: Verdict
    detail: str
    advice: str = ""


def inspect(database: Database, timeout_ms: int) -> Iterator[Observation]:
    """Looks at everything, one thing after the other. Large collections are read as a whole.

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
    yield from _left_to_migrate(database)
    yield from _left_to_close(database, timeout_ms)


def webhooks(database: Database) -> Iterator[Webhook]:
    """Every webhook, of whatever domain.

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
        detail = f"a restore that began at {since:%Y-%m-%d %H:%M:%S} UTC has not ended"
        return Observation("schema", Verdict.FAULT, detail, advice)
    if version is None:
        return Observation("schema", Verdict.OK, "none: a new database, or upstream's; the first start notes it")
    if version > schema.VERSION:
        detail = f"version {version}, and this service knows {schema.VERSION}"
        return Observation("schema", Verdict.FAULT, detail, "Install the event-service that has written it.")
    return Observation("schema", Verdict.OK, f"version {version}")


def _indexes(database: Database) -> Observation:
    wanted = indexes.wanted(sharded=schema.is_sharded(database))
    difference = indexes.diff(database, wanted)
    lacking = [f"{index.collection}.{index.name}" for index in (*difference.missing, *difference.changed)]
    if lacking:
        advice = "The next start of a service makes them, and so does `event-service db migrate`."
        return Observation("indexes", Verdict.WARNING, f"missing: {', '.join(lacking)}", advice)
    if difference.not_unique:
        names = ", ".join(f"{index.collection}.{index.name}" for index in difference.not_unique)
        advice = "Find the values that are there twice, drop the index, and start the service."
        return Observation("indexes", Verdict.WARNING, f"not unique, and somebody else's: {names}", advice)
    others = f", {len(difference.superfluous)} of somebody else's" if difference.superfluous else ""
    return Observation("indexes", Verdict.OK, f"{len(wanted)} as they should be{others}")


def _documents(database: Database) -> Iterator[Observation]:
    found = contents(database)
    counts = ", ".join(f"{count} in {name}" for name, count in found.documents.items() if name != schema.COLLECTION)
    yield Observation("documents", Verdict.OK, counts or "none")
    if found.others:
        detail = f"of others: {', '.join(found.others)}"
        yield Observation("collections", Verdict.OK, f"{detail}; neither read nor backed up")


def _left_to_migrate(database: Database) -> Iterator[Observation]:
    left = migration.backlog(database)
    if left.clear_keys:
        detail = f"{left.clear_keys} stored in clear, as upstream does"
        advice = "They are hashed at their first use; all at once: event-service db migrate"
        yield Observation("access keys", Verdict.WARNING, detail, advice)
    else:
        yield Observation("access keys", Verdict.OK, "none is stored in clear")
    if left.events:
        detail = f"{left.events} without a finished reply, which costs when they are read"
        yield Observation("events", Verdict.WARNING, detail, "event-service db migrate")
    else:
        yield Observation("events", Verdict.OK, "every one has its finished reply")


def _left_to_close(database: Database, timeout_ms: int) -> Iterator[Observation]:
    left = ConditionStore(database, timeout_ms).pending(datetime.now(UTC) - LEFT_BEHIND)
    if left:
        detail = f"{len(left)} were left to be closed by a process that died"
        yield Observation("alerts", Verdict.WARNING, detail, "A running service closes them within a minute.")
    else:
        yield Observation("alerts", Verdict.OK, "none was left to be closed")
