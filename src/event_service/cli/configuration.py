"""Load settings for the command line, and refuse unsafe ones."""

import difflib
import os
import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from event_service.cli.failures import USAGE, Failure
from event_service.settings import Settings, is_loopback

PREFIX = "EVENT_SERVICE_"
# Variables of clients, deploy/, examples/ and tests; and those that Kubernetes sets in every pod for a Service named
# event-service.
NOT_SETTINGS = re.compile(
    PREFIX
    + r"(SERVER|TOKEN|CA_FILE|WEBHOOK_ID|ACCESS_KEY|IMAGE|JWKS|HTTP|TEST_.+|FUZZ_.+|(SERVICE_(HOST|PORT)|PORT)(_.+)?)"
)
# pydantic's own messages do not fit environment variables.
MESSAGES = {
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
}


def load_settings(overrides: dict[str, Any]) -> Settings:
    """Return the settings of the environment, overridden by those of the command line.

    Raises:
        Failure: settings are invalid; the message names all of them.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        faults = [f"{PREFIX}{str(fault['loc'][0]).upper()}: {_reason(fault)}" for fault in error.errors()]
        raise Failure("; ".join(faults), "See the table of settings in the README.", exit_code=USAGE) from error


def _reason(fault: ErrorDetails) -> str:
    message = fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return MESSAGES.get(fault["type"], message)


def ineffective_settings(settings: Settings) -> Iterator[str]:
    """Yield a message for each variable without effect: misspelt names, and keys that are not used."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known and not NOT_SETTINGS.fullmatch(name.upper()):
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8)
            yield f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")
    if settings.jwks_file is not None and settings.auth == "none":
        yield f"{PREFIX}JWKS_FILE is set but tokens are not verified; set {PREFIX}AUTH=jwt"


def refuse_open_access(settings: Settings) -> None:
    """Raise Failure if authentication is off and an address is not on loopback."""
    if settings.auth != "none":
        return
    for name, address in (("gRPC", settings.grpc_address), ("HTTP", settings.http_address)):
        if not is_loopback(address):
            raise Failure(
                f"{name} cannot listen on {address}: authentication is off, and any caller could read all events.",
                "Set EVENT_SERVICE_AUTH=jwt (see `event-service token keygen --help`), listen on 127.0.0.1, "
                "or allow it with --insecure.",
                exit_code=USAGE,
            )
