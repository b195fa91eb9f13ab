"""`event-service health`: one word about a running server, for scripts and container health checks."""

import time
from typing import Annotated

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from event_service.cli.connection import Connection
from event_service.cli.failures import FAILED, UNREACHABLE
from event_service.cli.options import takes_connection

PAUSE = 0.2
# What a start looks like from outside until the server listens.
UNREACHABLE_WORD = "UNREACHABLE"


@takes_connection
def health(
    connection: Connection,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="Wait so long at most for it to be SERVING.")] = 0.0,
) -> None:
    """Print SERVING, NOT_SERVING or UNREACHABLE; only the first ends with status 0.

    Example: event-service serve & event-service health --wait 30
    """
    deadline = time.monotonic() + wait
    while (word := ask(connection)) != "SERVING" and time.monotonic() < deadline:
        time.sleep(PAUSE)
    typer.echo(word)
    if word != "SERVING":
        raise typer.Exit(UNREACHABLE if word == UNREACHABLE_WORD else FAILED)


def ask(connection: Connection) -> str:
    """What grpc.health.v1 says of the whole server."""
    with connection.open() as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.RpcError:
            return UNREACHABLE_WORD
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
