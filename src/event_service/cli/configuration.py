"""The settings as the command line reads them, and what it refuses to do with them."""

import ipaddress
from typing import Any

from pydantic import ValidationError

from event_service.cli.failures import USAGE, Failure
from event_service.settings import Settings


def load_settings(overrides: dict[str, Any]) -> Settings:
    """The settings of the environment, with those of the command line on top.

    Raises:
        Failure: one of them cannot be used; names them all.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        faults = [
            f"EVENT_SERVICE_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors()
        ]
        raise Failure("; ".join(faults), "The README says what each setting takes.", exit_code=USAGE) from error


def refuse_open_door(settings: Settings) -> None:
    """Nobody beyond this machine may read without a token, unless the operator insists.

    Raises:
        Failure: authentication is off and an address is not on loopback.
    """
    if settings.auth != "none":
        return
    for name, address in (("gRPC", settings.grpc_address), ("HTTP", settings.http_address)):
        if not is_loopback(address):
            raise Failure(
                f"{name} would listen on {address}, where anybody could read every event: authentication is off.",
                "Set EVENT_SERVICE_AUTH=jwt (see `event-service token keygen --help`), listen on 127.0.0.1, "
                "or insist with --insecure.",
                exit_code=USAGE,
            )


def is_loopback(address: str) -> bool:
    """Whether HOST:PORT can be reached from this machine only. A name other than localhost counts as not."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
