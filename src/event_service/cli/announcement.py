"""Print the addresses of a started `event-service serve`, and commands to try."""

import logging
import sys
from collections.abc import Sequence
from importlib.metadata import version

from event_service.cli import default_webhook
from event_service.cli.connection import WEBHOOK, Connection
from event_service.cli.failures import Failure
from event_service.cli.output import print_fields, say
from event_service.cli.quickstart import lines_for, lines_without_key
from event_service.settings import Settings

_log = logging.getLogger(__name__)


def is_trial(settings: Settings) -> bool:
    """Return True for an embedded database without authentication and TLS."""
    return settings.auth == "none" and not settings.mongodb_uri.get_secret_value() and settings.tls_cert_file is None


def announce(settings: Settings, *, grpc: str, http: str) -> None:
    """Print addresses, database and authentication on stdout.

    Args:
        grpc: HOST:PORT.
        http: URL without a trailing slash.
    """
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
            ("  gRPC", grpc),
            ("  HTTP", http),
            ("  console", f"{http}/" if settings.console else ""),
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
