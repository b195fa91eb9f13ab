"""`event-service health`: print the health of a running server, for scripts and container health checks."""

import time
from dataclasses import replace
from typing import Annotated

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from event_service.cli.configuration import load_settings
from event_service.cli.connection import Connection
from event_service.cli.failures import FAILED, UNREACHABLE, USAGE, Failure
from event_service.cli.options import takes_connection
from event_service.cli.output import say
from event_service.settings import Settings

PAUSE = 0.2
UNREACHABLE_STATUS = "UNREACHABLE"
# Addresses to dial for a service that listens on all interfaces.
LOCAL = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - nothing is bound


@takes_connection
def health(
    context: typer.Context,
    connection: Connection,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="Maximum time to wait for SERVING.")] = 0.0,
) -> None:
    """Print SERVING, NOT_SERVING or UNREACHABLE; exit with status 0 only for SERVING.

    The default server is EVENT_SERVICE_GRPC_ADDRESS, with TLS if EVENT_SERVICE_TLS_CERT_FILE is set.

    Example: event-service serve & event-service health --wait 30
    """
    source = context.get_parameter_source("server")
    if source is None or source.name == "DEFAULT":
        connection = for_local_service(connection, load_settings({}))
    deadline = time.monotonic() + wait
    while (status := ask(connection)) != "SERVING" and time.monotonic() < deadline:
        time.sleep(PAUSE)
    say(status)
    if status != "SERVING":
        raise typer.Exit(UNREACHABLE if status == UNREACHABLE_STATUS else FAILED)


def for_local_service(connection: Connection, settings: Settings) -> Connection:
    """Return the connection with address and certificate of the service of these settings.

    Certificates it already has stay. If the service requires a client certificate, its own is used: many are valid
    for both.

    Raises:
        Failure: the certificate cannot be read.
    """
    host, _, port = settings.grpc_address.rpartition(":")
    connection = replace(connection, server=f"{LOCAL.get(host, host)}:{port}")
    certificate = settings.tls_cert_file
    if certificate is None or connection.ca_file is not None:
        return connection
    from event_service.tls import name_in  # noqa: PLC0415 - heavy

    try:
        connection = replace(connection, ca_file=certificate, name=name_in(certificate))
    except (OSError, ValueError) as error:
        raise Failure(f"EVENT_SERVICE_TLS_CERT_FILE: {certificate}: {error}", exit_code=USAGE) from error
    if settings.tls_client_ca_file is not None and connection.cert_file is None:
        connection = replace(connection, cert_file=certificate, key_file=settings.tls_key_file)
    return connection


def ask(connection: Connection) -> str:
    """Return the grpc.health.v1 status of the whole server."""
    with connection.open() as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.RpcError:
            return UNREACHABLE_STATUS
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
