"""`event-service db ...`: maintenance of the database. The work is in `store/`, imported by the commands."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from event_service.cli.configuration import load_settings
from event_service.cli.doctor import print_findings, report
from event_service.cli.failures import USAGE, Failure
from event_service.cli.options import Json, Yes, confirm
from event_service.cli.output import print_json, print_table, progress_bar, say
from event_service.printable import printable
from event_service.settings import Settings

if TYPE_CHECKING:
    from event_service.store.client import Database
    from event_service.store.maintenance.inspection import Observation

app = typer.Typer(
    no_args_is_help=True,
    help="Maintain the database of the settings: EVENT_SERVICE_MONGODB_URI, or the embedded one in "
    "EVENT_SERVICE_DATA_DIR. Needs no running server.",
)

ArchiveFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup file.")]


@app.command()
def check(as_json: Json = False) -> None:
    """Check the schema version, the indexes, the keys, and pending migrations. Changes nothing.

    Exits with status 1 if a check fails. Reads whole collections.
    """
    from event_service.store.maintenance.inspection import inspect  # noqa: PLC0415 - heavy
    from event_service.store.requirements.rights import TO_READ  # noqa: PLC0415

    settings = load_settings({})
    with opened(settings, actions=TO_READ) as database:
        found = list(inspect(database, settings.query_timeout_ms))
        found += check_encrypted(settings, database)
    report(found, as_json)


@app.command()
def init(
    sharded: Annotated[bool, typer.Option("--sharded", help="Shard the collections; needs a mongos.")] = False,
    as_json: Json = False,
) -> None:
    """Create collections and indexes, for services whose MongoDB user has no right to do so at their start.

    With --sharded the events are sharded by domain and time. This needs a cluster administrator and cannot be undone;
    docs/operations.md says when to use it.

    Example: event-service db init --sharded
    """
    from event_service.store import indexes  # noqa: PLC0415 - heavy
    from event_service.store.maintenance import sharding  # noqa: PLC0415
    from event_service.store.requirements.rights import TO_MAINTAIN  # noqa: PLC0415

    with opened(load_settings({}), create=True, actions=TO_MAINTAIN) as database:
        if not sharded:
            building = indexes.ensure(database)
            while building is not None and not building.wait(1.0):
                pass
        done = sharding.init(database) if sharded else sharding.Sharded((), (), ())
    if as_json:
        print_json({"sharded": done.done, "sharded_before": done.there, "sharded_otherwise": done.otherwise})
        return
    say("Collections and indexes exist.")
    for what, names in (
        ("Sharded", done.done),
        ("Sharded before", done.there),
        ("Sharded by another key", done.otherwise),
    ):
        if names:
            say(f"{what}: {', '.join(names)}")


@app.command()
def migrate(as_json: Json = False) -> None:
    """Migrate an upstream database: create indexes, hash access keys, add encoded events. Repair and number alerts.

    Optional; services can run before and during it. Upstream services must not run, since they read access keys in
    plain text. It can be interrupted and run again.
    """
    from event_service.store import indexes  # noqa: PLC0415 - heavy
    from event_service.store.maintenance import alert_fields, alert_states, migration  # noqa: PLC0415
    from event_service.store.requirements.rights import TO_MAINTAIN  # noqa: PLC0415

    settings = load_settings({})
    with opened(settings, actions=TO_MAINTAIN) as database, progress_bar() as bar:
        building = indexes.ensure(database)
        alerts = sum(alert_states.repair(database, settings.query_timeout_ms))
        completed = alert_fields.complete(database, settings.query_timeout_ms)
        left = migration.backlog(database)
        task = bar.add_task("events", total=left.events)
        done = migration.migrate(
            database, settings.query_timeout_ms, lambda looked_at: bar.update(task, completed=looked_at)
        )
        waiting = bar.add_task("indexes", total=None) if building else None
        while building is not None and not building.wait(1.0):
            pass
        if waiting is not None:
            bar.remove_task(waiting)
    if as_json:
        print_json(
            {
                "access_keys": done.keys,
                "events": done.events,
                "events_left": done.left,
                "alerts": alerts,
                "alerts_completed": completed,
            }
        )
        return
    say(f"Hashed {done.keys} access keys; encoded {done.events} events.")
    if completed:
        say(f"Numbered {completed} alerts, and counted their events.")
    if alerts:
        say(f"Closed {alerts} conditions and alerts that disagreed.")
    if done.left:
        say(f"{done.left} events are too large to store their encoded form; they are encoded at each read.")


@app.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the events.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Apply the current retention to stored events: delete expired ones, set the expiry of the others.

    Retention is defined by the settings and the webhooks' retention_days. Needed only after a change: new events get
    their expiry when stored. Services can run. Reads the whole collection; can be interrupted and run again.

    Example: EVENT_SERVICE_RETENTION_DAYS=30 event-service db prune --dry-run
    """
    from event_service.model.retention import Retention  # noqa: PLC0415 - heavy
    from event_service.store import indexes, retention  # noqa: PLC0415
    from event_service.store.requirements.rights import TO_READ, TO_SERVE  # noqa: PLC0415

    settings = load_settings({})
    if not dry_run and not yes and not as_json:
        confirm("Delete expired events (count them with --dry-run)?")
    with opened(settings, actions=TO_READ if dry_run else TO_SERVE) as database, progress_bar() as bar:
        if not dry_run:
            indexes.ensure(database)
        task = bar.add_task("events", total=retention.event_count(database))
        done = retention.prune(
            database,
            Retention(settings.retention_days, settings.retention_by_severity),
            datetime.now(UTC),
            dry_run=dry_run,
            progress=lambda looked_at: bar.update(task, completed=looked_at),
        )
    rows = sorted(done.deleted.items())
    if as_json:
        by_group = [{"webhook_id": group.webhook_id, "severity": group.severity, "events": n} for group, n in rows]
        print_json({"dry_run": dry_run, "deleted": done.deleted.total(), "changed": done.changed, "groups": by_group})
        return
    if rows:
        shown = [
            (group.webhook_id or "-", done.names.get(group.webhook_id, "-"), group.severity, n) for group, n in rows
        ]
        print_table(("WEBHOOK", "NAME", "SEVERITY", "EVENTS"), [tuple(map(str, row)) for row in shown])
    would = "would be " if dry_run else ""
    say(f"{done.deleted.total()} events {would}deleted; the expiry of {done.changed} {would}changed.")


@app.command()
def backup(file: ArchiveFile, as_json: Json = False) -> None:
    """Back the database up to a new file of mode 0600. Services can run.

    The file is a ZIP of mongodump's output. Access keys are hashed in it. The key that encrypts webhook secrets
    (EVENT_SERVICE_SECRET_KEY, or secret.key in the data directory) is not in it: back it up elsewhere.

    Example: event-service db backup events-2026-01-31.zip
    """
    from event_service.store.maintenance.backup import back_up, contents  # noqa: PLC0415 - heavy
    from event_service.store.requirements.rights import TO_READ  # noqa: PLC0415

    if file.exists():
        raise Failure(f"{file} exists; choose a new file.", exit_code=USAGE)
    with written(file) as target, opened(load_settings({}), actions=TO_READ) as database, progress_bar() as bar:
        found = contents(database)
        tasks = {name: bar.add_task(name, total=count) for name, count in found.documents.items()}

        def copied(name: str, count: int) -> None:
            if name in tasks:  # else the collection was created since
                bar.advance(tasks[name], count)

        manifest = back_up(database, target, version("event-service"), copied)
    if as_json:
        print_json({"file": str(file), "documents": dict(manifest.documents), "left_out": list(found.others)})
        return
    total = sum(manifest.documents.values())
    say(f"Wrote {total} documents of {manifest.database} to {file}, {decimal(file.stat().st_size)}.")
    if found.others:
        say(f"Not backed up, since event-service does not own them: {', '.join(found.others)}.")


@app.command()
def restore(
    file: ArchiveFile,
    replace: Annotated[bool, typer.Option("--replace", help="Remove the present content of the database.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty database, and create the indexes. Stop the services first.

    The whole file is checked before the database is changed, and the database afterwards as by `db check`. After an
    interrupted restore no service starts on the database until it is run again with --replace.

    Example: event-service db restore events-2026-01-31.zip
    """
    from event_service.store.maintenance.archive import ArchiveReader  # noqa: PLC0415 - heavy
    from event_service.store.maintenance.backup import restore as put_back  # noqa: PLC0415
    from event_service.store.maintenance.inspection import Verdict, inspect  # noqa: PLC0415
    from event_service.store.requirements.rights import TO_MAINTAIN  # noqa: PLC0415

    settings = load_settings({})
    if replace and not yes and not as_json:
        confirm("Remove the present content of the database?")
    with (
        readable(file),
        ArchiveReader(file) as archive,
        opened(settings, alone=True, create=True, actions=TO_MAINTAIN) as database,
        progress_bar() as bar,
    ):
        manifest = archive.manifest
        tasks = {name: bar.add_task(printable(name), total=count) for name, count in manifest.documents.items()}
        put_back(database, archive, replace=replace, progress=lambda name, count: bar.advance(tasks[name], count))
        found = [*inspect(database, settings.query_timeout_ms), *check_encrypted(settings, database)]
    faults = [f"{one.what}: {one.detail}" for one in found if one.verdict is not Verdict.OK]
    if as_json:
        done = {"file": str(file), "made_at": manifest.made_at, "documents": dict(manifest.documents)}
        print_json({**done, "check": faults})
        return
    total = sum(manifest.documents.values())
    say(f"Restored {total} documents of {manifest.made_at}.")
    print_findings(found)


# --- helpers of the commands ----------------------------------------------------------------------------------------


@contextmanager
def opened(
    settings: Settings, *, alone: bool = False, create: bool = False, actions: Sequence[str]
) -> Iterator["Database"]:
    """Open the database; turn its errors into Failure."""
    from event_service.errors import EventServiceError  # noqa: PLC0415 - heavy
    from event_service.store.client import DatabaseSettingsError  # noqa: PLC0415
    from event_service.store.embedded.database import DirectoryInUseError, EmbeddedDatabaseError  # noqa: PLC0415
    from event_service.store.maintenance.archive import ArchiveError  # noqa: PLC0415
    from event_service.store.maintenance.database import opened as opened_database  # noqa: PLC0415
    from event_service.store.requirements.check import missing_right  # noqa: PLC0415

    try:
        with opened_database(settings, alone=alone, create=create, actions=actions) as database:
            yield database
    except DirectoryInUseError as error:
        raise Failure(f"{error}.", "Stop the service first.") from error
    except (ArchiveError, DatabaseSettingsError, EmbeddedDatabaseError) as error:
        raise Failure(f"{error}.") from error
    except EventServiceError as error:
        if (refusal := missing_right(error)) is not None:
            raise Failure(f"{refusal}.") from error
        raise Failure(error.message, "Run `event-service doctor` to check everything the service needs.") from error


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turn errors of the backup file into Failure."""
    from event_service.store.maintenance.archive import ArchiveError  # noqa: PLC0415 - heavy

    try:
        yield
    except ArchiveError as error:
        raise Failure(f"{error}.") from error
    except OSError as error:
        raise Failure(f"Cannot read {file}: {error.strerror or error}.") from error


@contextmanager
def written(file: Path) -> Iterator[IO[bytes]]:
    """Open a new file of mode 0600, which gets its name when it is complete and synced to disk."""
    partial = file.with_name(f"{file.name}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as target:
                yield target
                target.flush()
                os.fsync(target.fileno())
            partial.rename(file)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise Failure(f"Cannot write {file}: {error.strerror or error}.") from error


def check_encrypted(settings: Settings, database: "Database") -> "Iterator[Observation]":
    """Check that the encrypted secrets of webhooks (signing keys, secret options) can be decrypted."""
    from event_service.errors import Internal  # noqa: PLC0415 - heavy
    from event_service.store.maintenance.inspection import Observation, Verdict, webhooks  # noqa: PLC0415
    from event_service.webhooks.encrypted_options import decrypted, has_encrypted_option  # noqa: PLC0415
    from event_service.webhooks.encryption import FILE_NAME, Encryptor, SecretKeyError  # noqa: PLC0415

    what, advice = (
        "encrypted secrets",
        "Restore the EVENT_SERVICE_SECRET_KEY or secret.key that they were encrypted with.",
    )
    kept = [
        webhook
        for webhook in webhooks(database)
        if webhook.encrypted_keys or has_encrypted_option(webhook.plugin.options)
    ]
    if not kept:
        return
    if not settings.secret_key.get_secret_value() and not (settings.data_dir / FILE_NAME).exists():
        yield Observation(what, Verdict.FAULT, f"{len(kept)} webhooks have secrets, but no secret key exists", advice)
        return
    lost = 0
    try:
        encryptor = Encryptor.from_settings(settings)
        for webhook in kept:
            try:
                decrypted(webhook.plugin.options, encryptor, webhook.webhook_id)
                for encrypted in webhook.encrypted_keys[:1]:
                    encryptor.decrypt(encrypted, webhook.webhook_id)
            except Internal:
                lost += 1
    except SecretKeyError as error:
        yield Observation(what, Verdict.FAULT, str(error), advice)
        return
    if lost:
        yield Observation(what, Verdict.FAULT, f"cannot decrypt those of {lost} of {len(kept)} webhooks", advice)
    else:
        yield Observation(what, Verdict.OK, f"those of {len(kept)} webhooks can be decrypted")
