"""`event-service serve`: the options. What it does is in `serving`, which is imported when it is asked for: the other
commands start in a fraction of the time without the service's own modules.
"""

from pathlib import Path
from typing import Annotated

import typer

from event_service.cli.configuration import load_settings, refuse_open_access
from event_service.cli.failures import FAILED, USAGE, Failure
from event_service.imports import without_gc


def serve(
    grpc_address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", envvar="EVENT_SERVICE_GRPC_ADDRESS", help="Where gRPC listens.")
    ] = None,
    http_address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", envvar="EVENT_SERVICE_HTTP_ADDRESS", help="Where HTTP listens.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(envvar="EVENT_SERVICE_DATA_DIR", help="Embedded database, generated keys, first webhook."),
    ] = None,
    auth: Annotated[str | None, typer.Option(envvar="EVENT_SERVICE_AUTH", help="none or jwt.")] = None,
    jwks_file: Annotated[
        Path | None, typer.Option(envvar="EVENT_SERVICE_JWKS_FILE", help="Keys that tokens are checked against.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(envvar="EVENT_SERVICE_LOG_LEVEL", help="debug, info, warning or error.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen beyond loopback although everybody may then read everything.")
    ] = False,
    first: Annotated[
        bool,
        typer.Option(
            "--first-webhook/--no-first-webhook",
            help="Make a webhook if there is none, on an embedded database without authentication.",
        ),
    ] = True,
) -> None:
    """Serve. Without settings: an embedded database in the data directory, reachable from this machine only.

    Every setting is an environment variable EVENT_SERVICE_...; the README lists them. Stop it with Ctrl+C or SIGTERM.
    """
    flags = {
        "grpc_address": grpc_address,
        "http_address": http_address,
        "data_dir": data_dir,
        "auth": auth,
        "jwks_file": jwks_file,
        "log_level": log_level,
    }
    settings = load_settings({name: value for name, value in flags.items() if value is not None})
    if not insecure:
        refuse_open_access(settings)
    with without_gc():
        from event_service.cli import serving  # noqa: PLC0415 - heavy

    try:
        serving.run(serving.serve_until_stopped(settings, first=first))
    except serving.START_FAILURES as error:
        raise Failure(
            str(error),
            "`event-service doctor` looks at everything the service needs.",
            exit_code=USAGE if type(error) in serving.WRONG_SETTINGS else FAILED,
        ) from error
