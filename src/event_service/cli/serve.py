"""Options of `event-service serve`. Its work is in `serving`, imported late: it loads the whole service, which other
commands do not need.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from event_service.cli.configuration import load_settings, refuse_open_access
from event_service.cli.failures import FAILED, USAGE, Failure
from event_service.imports import without_gc
from event_service.settings import Settings
from event_service.worker import Worker, process_count

_ADVICE = "Run `event-service doctor` to check everything the service needs."


def serve(
    grpc_address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", envvar="EVENT_SERVICE_GRPC_ADDRESS", help="Address of the gRPC server."),
    ] = None,
    http_address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", envvar="EVENT_SERVICE_HTTP_ADDRESS", help="Address of the HTTP server."),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="EVENT_SERVICE_DATA_DIR",
            help="Directory of the embedded database, generated keys and the first webhook.",
        ),
    ] = None,
    auth: Annotated[str | None, typer.Option(envvar="EVENT_SERVICE_AUTH", help="Authentication: none or jwt.")] = None,
    jwks_file: Annotated[
        Path | None, typer.Option(envvar="EVENT_SERVICE_JWKS_FILE", help="JSON Web Key Set that verifies tokens.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(envvar="EVENT_SERVICE_LOG_LEVEL", help="debug, info, warning or error.")
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Listen beyond loopback without authentication: any caller can read all events."
        ),
    ] = False,
    first: Annotated[
        bool,
        typer.Option(
            "--first-webhook/--no-first-webhook",
            help="Create a webhook if none exists, on an embedded database without authentication.",
        ),
    ] = True,
) -> None:
    """Start the service. By default it uses an embedded database in the data directory and listens on loopback only.

    Settings are environment variables EVENT_SERVICE_...; the README lists them. Stop it with Ctrl+C or SIGTERM.
    """
    flags = {
        "grpc_address": grpc_address,
        "http_address": http_address,
        "data_dir": data_dir,
        "auth": auth,
        "jwks_file": jwks_file,
        "log_level": log_level,
    }
    worker = Worker.of_this_process()
    given = {name: value for name, value in flags.items() if value is not None}
    settings = load_settings(given | (worker.overrides() if worker else {}))
    if not insecure:
        refuse_open_access(settings)
    if worker is None and (processes := process_count(settings.processes)) > 1:
        _supervise(settings, processes, first=first)
        return
    with without_gc():
        from event_service.cli import serving  # noqa: PLC0415 - heavy

    try:
        serving.run(serving.serve_until_stopped(settings, first=first, worker=worker))
    except serving.START_FAILURES as error:
        raise Failure(
            str(error),
            _ADVICE,
            exit_code=USAGE if type(error) in serving.WRONG_SETTINGS else FAILED,
        ) from error


def _supervise(settings: Settings, processes: int, *, first: bool) -> None:
    from event_service.cli import supervisor  # noqa: PLC0415 - heavy

    try:
        asyncio.run(supervisor.supervise(settings, processes, first=first))
    except supervisor.WorkerFailed as error:
        if error.status > 0:  # it has printed the reason
            raise typer.Exit(error.status) from error
        raise Failure(str(error), _ADVICE) from error
    except supervisor.START_FAILURES as error:
        raise Failure(str(error), _ADVICE) from error
