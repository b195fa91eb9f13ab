"""What a command is given to send: a file, or standard input."""

import json
import sys
from pathlib import Path
from typing import Any

from event_service.cli.failures import USAGE, Failure

STANDARD_INPUT = Path("-")


def read_input(path: Path) -> bytes:
    """The bytes of a file, or of standard input for `-`.

    Raises:
        Failure: it cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if path == STANDARD_INPUT else path.read_bytes()
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}.", exit_code=USAGE) from error


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, or on standard input for `-`.

    Raises:
        Failure: it cannot be read, or is something else.
    """
    name = "Standard input" if path == STANDARD_INPUT else str(path)
    try:
        payload = json.loads(read_input(path), parse_constant=_refuse_constant)
    except ValueError as error:
        raise Failure(f"{name} is not JSON: {error}.", exit_code=USAGE) from error
    if not isinstance(payload, dict):
        raise Failure(f"{name} holds no JSON object.", 'For several events: {"results": [...]}', exit_code=USAGE)
    return payload


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
