"""Run `event-service serve`: start the service, print its addresses, stop it on SIGTERM and SIGINT."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Any

from event_service.app import build
from event_service.cli.announcement import announce, is_trial, print_quickstart
from event_service.cli.configuration import ineffective_settings
from event_service.errors import EventServiceError
from event_service.identity.key_set import KeySetError
from event_service.rpc.address import PortTaken
from event_service.settings import Settings
from event_service.store.client import DatabaseSettingsError
from event_service.store.embedded.database import EmbeddedDatabaseError
from event_service.telemetry.logging import setup_logging
from event_service.tls import TlsError
from event_service.webhooks.encryption import SecretKeyError
from event_service.worker import Worker

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


async def serve_until_stopped(settings: Settings, *, first: bool, worker: Worker | None = None) -> None:
    """Start the service, print its addresses, and stop it on a signal, also during the start.

    Args:
        first: create a webhook if none exists, and print commands to try.
        worker: this process, if it is one of several; its parent prints.
    """
    setup_logging(settings.log_level)
    if worker is not None:
        worker.die_with_parent()
    else:
        for reason in ineffective_settings(settings):
            _log.warning(reason)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    app = build(settings, worker)
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
        grpc, http = app.addresses.grpc, app.addresses.http
        if worker is not None:
            worker.announce(grpc, http)
        else:
            announce(settings, grpc=grpc, http=http)
            if first and is_trial(settings):
                await asyncio.to_thread(print_quickstart, settings, grpc)
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
