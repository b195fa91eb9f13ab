"""The settings as the command line reads them, and what it refuses to do with them."""

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
# Names of ours that are no settings of a service: of its clients, of deploy/ and examples/, of tests; and those of
# Kubernetes, which tells every pod where a Service called event-service is.
NOT_SETTINGS = re.compile(
    PREFIX
    + r"(SERVER|TOKEN|CA_FILE|WEBHOOK_ID|ACCESS_KEY|IMAGE|JWKS|HTTP|TEST_.+|FUZZ_.+|(SERVICE_(HOST|PORT)|PORT)(_.+)?)"
)
# Where pydantic's own words would puzzle somebody who has typed an environment variable.
WORDS = {
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
}


def load_settings(overrides: dict[str, Any]) -> Settings:
    """The settings of the environment, with those of the command line on top.

    Raises:
        Failure: one of them cannot be used; names them all.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        faults = [f"{PREFIX}{str(fault['loc'][0]).upper()}: {_reason(fault)}" for fault in error.errors()]
        raise Failure("; ".join(faults), "The README says what each setting takes.", exit_code=USAGE) from error


def _reason(fault: ErrorDetails) -> str:
    said = fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return WORDS.get(fault["type"], said)


def ineffective_settings(settings: Settings) -> Iterator[str]:
    """What is set and does nothing, each with its reason: mistyped names, and keys that nothing is checked by."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known and not NOT_SETTINGS.fullmatch(name.upper()):
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8)
            yield f"{name} is no setting" + (f"; is {near[0]} meant?" if near else "")
    if settings.jwks_file is not None and settings.auth == "none":
        yield f"{PREFIX}JWKS_FILE is set, and no token is asked for: that takes {PREFIX}AUTH=jwt"


def refuse_open_access(settings: Settings) -> None:
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
