"""`event-service doctor`: check everything the service needs, with advice for each fault."""

import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from event_service.cli.configuration import ineffective_settings, load_settings
from event_service.cli.connection import Connection
from event_service.cli.failures import FAILED, Failure
from event_service.cli.health import UNREACHABLE_STATUS, ask, for_local_service
from event_service.cli.options import Json
from event_service.cli.output import print_json, print_table, say, skip_line, styled
from event_service.settings import Settings, is_loopback

if TYPE_CHECKING:
    from event_service.store.maintenance.inspection import Observation

Verdict = Literal["ok", "warning", "fault"]
VERDICT_STYLES = {"ok": "green", "warning": "yellow", "fault": "bold red"}

# Below this, in bytes, an embedded database soon stops accepting writes.
LOW_DISK = 1024**3
# Unix time, June 2025: before this service was written, so an earlier clock was never set.
EARLIEST_TIME = 1_750_000_000
# Most issuers renew certificates a month before they expire.
RENEW_BEFORE = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of a check.

    Attributes:
        what: subject of the check.
        advice: how to fix it; "" if all is well.
    """

    what: str
    verdict: Verdict
    detail: str
    advice: str = ""


def doctor(
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="HOST:PORT",
            envvar="EVENT_SERVICE_SERVER",
            help="Running server. Default: the address of the settings.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check settings, data directory, database, keys, certificates, clock and server; advise how to fix faults.

    Exits with status 1 if a check fails. Writes and deletes one document in the MongoDB of EVENT_SERVICE_MONGODB_URI,
    and changes nothing else.
    """
    try:
        settings = load_settings({})
    except Failure as failure:
        findings = [Finding("settings", "fault", failure.message, failure.hint)]
    else:
        advice = "Unset it or correct it."
        findings = [Finding("settings", "warning", reason, advice) for reason in ineffective_settings(settings)]
        findings = findings or [Finding("settings", "ok", "all EVENT_SERVICE_ variables are valid")]
        findings += [finding for check in CHECKS for finding in check(settings)]
        findings += check_server(settings, server)
    report(findings, as_json)


def report(findings: "Sequence[Finding | Observation]", as_json: bool) -> None:
    """Print the results of checks with their advice; exit with status 1 if one is a fault."""
    if as_json:
        print_json([{name: getattr(one, name) for name in Finding.__slots__} for one in findings])
    else:
        print_findings(findings)
    if any(one.verdict == "fault" for one in findings):
        raise typer.Exit(FAILED)


def print_findings(findings: "Sequence[Finding | Observation]") -> None:
    """Print the results of checks with their advice."""
    print_table(
        ("", "CHECK", "RESULT"),
        [(styled(one.verdict, VERDICT_STYLES), one.what, one.detail) for one in findings],
        fold_last=True,
    )
    for one in findings:
        if one.advice:
            skip_line()
            say(f"{one.what}: {one.advice}")


def check_data_dir(settings: Settings) -> Iterator[Finding]:
    """Check that the data directory is writable and has free space."""
    path = settings.data_dir
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        advice = "Make the directory writable for the service's user, or set EVENT_SERVICE_DATA_DIR."
        yield Finding("data directory", "fault", f"{path}: {error.strerror}", advice)
        return
    free = shutil.disk_usage(nearest).free
    shown = str(path) if path.exists() else f"{path} (created at the first start)"
    if free < LOW_DISK:
        advice = "Free disk space: a database on a full disk refuses writes."
        yield Finding("data directory", "warning", f"{shown}, {free // 1024**2} MiB free", advice)
    else:
        yield Finding("data directory", "ok", f"{shown}, {free // 1024**3} GiB free")


def check_database(settings: Settings) -> Iterator[Finding]:
    """Check the MongoDB of the settings by using it, or that a mongod to embed is installed."""
    if uri := settings.mongodb_uri.get_secret_value():
        yield from check_mongodb(settings, uri)
        return
    from event_service.store.embedded.mongod import EmbeddedDatabaseError, find_mongod  # noqa: PLC0415 - heavy

    try:
        program = find_mongod(settings.mongod)
    except EmbeddedDatabaseError as error:
        yield Finding("database", "fault", str(error), "Install a mongod, or set EVENT_SERVICE_MONGODB_URI.")
    else:
        advice = "For production set EVENT_SERVICE_MONGODB_URI to a MongoDB replica set."
        yield Finding("database", "warning", f"embedded ({program}): for development and small installs", advice)


def check_mongodb(settings: Settings, uri: str) -> Iterator[Finding]:
    """Check servers, rights and collections; then write, read and build an index, as the service does."""
    from event_service.errors import EventServiceError  # noqa: PLC0415 - heavy
    from event_service.store import client  # noqa: PLC0415 - heavy
    from event_service.store.database_clock import TOLERATED_SKEW, DatabaseClock  # noqa: PLC0415
    from event_service.store.requirements.check import check_database, try_out  # noqa: PLC0415
    from event_service.store.requirements.faults import DatabaseNotReady, UnsuitableDatabase  # noqa: PLC0415

    try:
        database = client.connect(settings, uri)
        with closing(database.client):
            server = check_database(database, uri)
            clock = DatabaseClock()
            clock.measure(database)
            tried = try_out(database)
    except (UnsuitableDatabase, DatabaseNotReady) as error:
        yield Finding("database", "fault", error.problem, as_sentence(error.advice))
    except client.DatabaseSettingsError as error:
        yield Finding("database", "fault", str(error), "Correct EVENT_SERVICE_MONGODB_URI.")
    except EventServiceError as error:
        yield Finding("database", "fault", str(error.__cause__ or error), "See the log of MongoDB.")
    else:
        found = f"MongoDB {server.version}, {server.topology}: {settings.database} can be written and read; {tried}"
        yield Finding("database", "ok", found)
        for reservation in server.reservations:
            yield Finding("database", "warning", reservation.problem, as_sentence(reservation.advice))
        if abs(clock.skew) > TOLERATED_SKEW:
            ahead = f"this machine's clock is {clock.skew.total_seconds():+.1f} s from the database's"
            yield Finding("clock", "warning", ahead, "Synchronise the clocks of both, for example by NTP.")


def as_sentence(advice: str) -> str:
    """Return the text with a capital letter and a full stop."""
    return f"{advice[0].upper()}{advice[1:]}."


def check_identity(settings: Settings) -> Iterator[Finding]:
    """Check that tokens can be verified, or that only loopback is open without them."""
    from event_service.identity.key_set import KeySetError, parse_key_set  # noqa: PLC0415 - heavy

    if settings.auth == "none":
        if all(map(is_loopback, (settings.grpc_address, settings.http_address))):
            yield Finding("authentication", "ok", "off; the service listens on loopback only")
        else:
            advice = "Set EVENT_SERVICE_AUTH=jwt; `serve` refuses this without --insecure."
            yield Finding("authentication", "fault", "off, and an address is not on loopback", advice)
        return
    advice = "Generate a key set with `event-service token keygen`; set EVENT_SERVICE_JWKS_FILE to it."
    if settings.jwks_file is None:
        yield Finding("authentication", "fault", "jwt, but EVENT_SERVICE_JWKS_FILE is not set", advice)
        return
    try:
        keys = parse_key_set(settings.jwks_file.read_bytes())
    except (OSError, KeySetError) as error:
        yield Finding("authentication", "fault", f"{settings.jwks_file}: {error}", advice)
        return
    yield Finding("authentication", "ok", f"jwt, {len(keys)} keys in {settings.jwks_file}")


def check_tls(settings: Settings) -> Iterator[Finding]:
    """Check that the certificates can be used, and their expiry."""
    from event_service.tls import TlsError, ends_at, tls_files  # noqa: PLC0415 - heavy

    try:
        files = tls_files(settings)
        if files is None:
            return
        files.context()
        end = ends_at(files.certificate)
    except (TlsError, OSError, ValueError) as error:
        yield Finding("TLS", "fault", str(error), "Correct EVENT_SERVICE_TLS_CERT_FILE, _KEY_FILE and _CLIENT_CA_FILE.")
        return
    left = end - datetime.now(UTC)
    verdict: Verdict = "ok" if left > RENEW_BEFORE else "warning" if left > timedelta() else "fault"
    advice = "" if verdict == "ok" else "Replace the files with a new certificate; the service reloads them."
    yield Finding("TLS", verdict, f"{files.certificate} is valid until {end:%Y-%m-%d %H:%M} UTC", advice)


def check_secret_key(settings: Settings) -> Iterator[Finding]:
    """Check that the secret key can encrypt."""
    from event_service.webhooks.encryption import Encryptor, SecretKeyError  # noqa: PLC0415 - heavy

    try:
        Encryptor.from_settings(settings)
    except SecretKeyError as error:
        yield Finding(
            "secret key",
            "fault",
            str(error),
            "Correct EVENT_SERVICE_SECRET_KEY, or unset it to generate a key in the data directory.",
        )


def check_files(settings: Settings) -> Iterator[Finding]:
    """Check that only their owner can read files with secrets."""
    for path in sorted(settings.data_dir.glob("*")) if settings.data_dir.is_dir() else ():
        if path.is_file() and path.suffix in {".json", ".key"} and path.stat().st_mode & 0o077:
            yield Finding("secrets", "fault", f"{path} can be read by others", f"chmod 600 {path}")


def check_clock(_settings: Settings) -> Iterator[Finding]:
    """Check that the clock is set."""
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < EARLIEST_TIME:
        yield Finding(
            "clock", "fault", shown, "Set the clock: tokens, signatures and the order of events depend on it."
        )
    else:
        yield Finding("clock", "ok", shown)


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    check_data_dir,
    check_database,
    check_identity,
    check_tls,
    check_secret_key,
    check_files,
    check_clock,
)


def check_server(settings: Settings, server: str | None = None) -> Iterator[Finding]:
    """Check the health of the server at the address; default: the address of the settings."""
    try:
        connection = for_local_service(Connection(), settings)
    except Failure:
        return  # `check_tls` reports it
    if server is not None:
        connection = replace(connection, server=server)
    address = connection.server
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2):
            pass
    except (OSError, ValueError, OverflowError):
        yield Finding("server", "warning", f"no server at {address}", "Start it with `event-service serve`.")
        return
    status = ask(connection)
    if status == "SERVING":
        yield Finding("server", "ok", f"{address} is serving")
    elif status == UNREACHABLE_STATUS:
        advice = f"Another program listens on {address}, or the service uses other certificates or none."
        yield Finding("server", "fault", f"{address} accepts connections but does not answer health checks", advice)
    else:
        advice = "Its database is unavailable or refuses writes; see the service's log."
        yield Finding("server", "fault", f"{address} is not serving", advice)
