"""A coverage-guided search for bytes that make a parser fail.

    python -m tests.fuzz.atheris_parsers [libFuzzer options] [corpus folder]

The first byte chooses between automatic detection and one parser, the rest is the JSON.
"""

import contextlib
import json
from datetime import UTC, datetime

import atheris

with atheris.instrument_imports(include=["event_service"]):
    from event_service.normalize import error_event, parse
    from event_service.normalize.registry import PARSERS
    from event_service.normalize.result import Unreadable

from tests.fuzz.atheris_run import fuzz

RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)


def one_input(data: bytes) -> None:
    """Reads the bytes as a delivery. Whatever it raises is a find."""
    if not data:
        return
    try:
        payload = json.loads(data[1:])
    except (ValueError, RecursionError):
        return
    row = PARSERS[data[0] % len(PARSERS)]
    with contextlib.suppress(Unreadable):
        row.parse(payload, {}, {"timezone": "Europe/Riga"}, RECEIVED)
    parsed = parse("auto", payload, {}, {}, RECEIVED)
    for item in parsed.bad_items:
        if any(fault.kind == "internal" for fault in item.faults):
            raise AssertionError(item.faults)
        error_event(item, webhook_id="webhook-1", webhook_name="w")


if __name__ == "__main__":
    fuzz(one_input)
