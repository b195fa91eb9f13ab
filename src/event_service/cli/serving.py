"""Run `event-service serve`: start the service, print its addresses, stop it on SIGTERM and SIGINT."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Coroutine, Sequence
from importlib.metadata import version
from typing import Any

from event_service.app import App, build
from event_service.cli import default_webhook
from event_service.cli.configuration import ineffective_settings
from event_service.cli.connection import WEBHOOK, Connection
from event_service.cli.failures import Failure
from event_service.cli.output import print_fields, say
from event_service.cli.quickstart import lines_for, lines_without_key
from event_service.errors import EventServiceError
from event_service.identity.key_set import KeySetError
from event_service.rpc.address import PortTaken
from event_service.settings import Settings
from event_service.store.client import DatabaseSettingsError
from event_service.store.embedded.database import EmbeddedDatabaseError
from event_service.telemetry.logging import setup_logging
from event_service.tls import TlsError
from event_service.webhooks.encryption import SecretKeyError

_log = logging.getLogger(__name__)

# Errors of a start, each with a message of one line.
WRONG_SETTINGS = (DatabaseSettingsError, KeySetError, SecretKeyError, TlsError)
START_FAILURES = (*WRONG_SETTINGS, EmbeddedDatabaseError, EventServiceError, PortTaken)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run the service's event loop; on uvloop, except on Windows."""
    if sys.platform == "win32":
        asyncio.run(main)
    else:
        import uvloop  # noqa: PLC0415 - not on Windows

        uvloop.run(main)


async def serve_until_stopped(settings: Settings, *, first: bool) -> None:
    """Start the service, print its addresses, and stop it on a signal, also during the start."""
    setup_logging(settings.log_level)
    for reason in ineffective_settings(settings):
        _log.warning(reason)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    app = build(settings)
    stopped = asyncio.ensure_future(stop.wait())
    starting = asyncio.ensure_future(app.start())
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return
        starting.result()
        tune_garbage_collector()
        _log.info(
            "serving",
            extra={"version": version("event-service"), "grpc": app.addresses.grpc, "http": app.addresses.http},
        )
        announce(settings, app)
        if first and is_trial(settings):
            await asyncio.to_thread(print_quickstart, settings, app.addresses.grpc)
        await stopped
        _log.info("stopping")
    finally:
        stopped.cancel()
        await app.stop()
    _log.info("stopped")


def tune_garbage_collector() -> None:
    """Collect cyclic garbage less often, and never the objects made by the start.

    A create makes about a hundred objects without a cycle; collection took 15 % of a batch's CPU. A threshold of 20,000
    saved no more, and keeps cyclic garbage longer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 10, 10)


def is_trial(settings: Settings) -> bool:
    """Return True for an embedded database without authentication and TLS."""
    return settings.auth == "none" and not settings.mongodb_uri.get_secret_value() and settings.tls_cert_file is None


def announce(settings: Settings, app: App) -> None:
    """Print addresses, database and authentication on stdout."""
    say(f"event-service {version('event-service')} is serving.", style="bold green")
    embedded = not settings.mongodb_uri.get_secret_value()
    database = f"{settings.database} in the MongoDB of EVENT_SERVICE_MONGODB_URI"
    if embedded:
        database = f"embedded mongod in {settings.data_dir} (for development and small installations)"
    authentication = f"jwt (keys: {settings.jwks_file})"
    if settings.auth == "none":
        authentication = "off (anyone who can connect can read)"
    print_fields(
        (
            ("  gRPC", app.addresses.grpc),
            ("  HTTP", app.addresses.http),
            ("  console", f"{app.addresses.http}/" if settings.console else ""),
            ("  database", database),
            ("  authentication", authentication),
        )
    )
    sys.stdout.flush()


def print_quickstart(settings: Settings, grpc_address: str) -> None:
    """Print commands that use the default webhook, its access key only to a terminal.

    If its calls fail, the reason is logged: serving does not need them.
    """
    try:
        lines = _quickstart(settings, grpc_address)
    except Failure as failure:
        _log.warning("no commands to try are printed: %s", failure.message)
        return
    for line in lines:
        say(line, fold=False)
    sys.stdout.flush()


def _quickstart(settings: Settings, grpc_address: str) -> Sequence[str]:
    connection = Connection(server=grpc_address)
    webhook = default_webhook.read(settings.data_dir)
    if webhook is not None and not _exists(connection, webhook.webhook_id):
        webhook = None
    if webhook is None:
        if connection.call(WEBHOOK, "list", {"query": {"count_only": True}}).body.get("total_count", 0):
            return ["", "Webhooks exist; list them with: event-service webhook list"]
        made = connection.call(WEBHOOK, "create", default_webhook.REQUEST).body
        webhook = default_webhook.DefaultWebhook(made["webhook_id"], made["access_key"], made.get("webhook_url", ""))
        default_webhook.write(settings.data_dir, webhook)
    # A pipe usually leads to a log, where the access key would stay.
    return lines_for(webhook, grpc_address) if sys.stdout.isatty() else lines_without_key(webhook, settings.data_dir)


def _exists(connection: Connection, webhook_id: str) -> bool:
    found = connection.call(WEBHOOK, "list", {"webhook_id": webhook_id, "query": {"count_only": True}}).body
    return bool(found.get("total_count", 0))
