"""Read a payload from a file or standard input."""

import json
import sys
from pathlib import Path
from typing import Any

from event_service.cli.failures import USAGE, Failure

STANDARD_INPUT = Path("-")


def read_input(path: Path) -> bytes:
    """Return the bytes of a file, or of standard input for `-`; raise Failure if it cannot be read."""
    try:
        return sys.stdin.buffer.read() if path == STANDARD_INPUT else path.read_bytes()
    except OSError as error:
        raise Failure(f"Cannot read {path}: {error.strerror}.", exit_code=USAGE) from error


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, or on standard input for `-`; raise Failure if it is anything else."""
    name = "Standard input" if path == STANDARD_INPUT else str(path)
    try:
        payload = json.loads(read_input(path), parse_constant=_refuse_constant)
    except ValueError as error:
        raise Failure(f"{name} is not JSON: {error}.", exit_code=USAGE) from error
    if not isinstance(payload, dict):
        raise Failure(f"{name} is not a JSON object.", 'For several events: {"results": [...]}', exit_code=USAGE)
    return payload


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
