"""CPU cost of parsing a payload: us per payload, each format, detection included.

    python -m bench.parsers

The payloads are the tests' own, as json.loads gives them; decoding the JSON is not part of the figure.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from event_service.normalize import parse

PAYLOADS = Path(__file__).parents[1] / "tests" / "unit" / "normalize" / "payloads"
TARGET_ONE = 60.0  # us
TARGET_THOUSAND = 150_000.0  # us
RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)


def cost(call: Callable[[], Any], rounds: int, repeats: int = 5) -> float:
    """Return the least CPU time of several runs, in us per call."""
    least = float("inf")
    for _ in range(repeats):
        started = time.process_time_ns()
        for _ in range(rounds):
            call()
        least = min(least, time.process_time_ns() - started)
    return least / rounds / 1000


def thousand_alerts() -> dict[str, Any]:
    """Return an Alertmanager payload with a thousand alerts of ten labels each."""
    payload: dict[str, Any] = json.loads((PAYLOADS / "alertmanager-firing.json").read_text())
    model = payload["alerts"][0]
    payload["alerts"] = [
        {
            **model,
            "fingerprint": f"{number:016x}",
            "labels": {
                **model["labels"],
                "instance": f"node-{number}:9100",
                **{f"label_{n}": f"value {n}" for n in range(5)},
            },
        }
        for number in range(1000)
    ]
    return payload


def measure() -> list[tuple[str, int, float]]:
    """Name, number of events and us of each payload."""
    rows = []
    for name, expected in json.loads((PAYLOADS / "expected.json").read_text()).items():
        payload = json.loads((PAYLOADS / f"{name}.json").read_text())
        headers, options = expected.get("headers", {}), expected.get("options", {})

        def call(payload: Any = payload, headers: Any = headers, options: Any = options) -> None:
            parse("auto", payload, headers, options, RECEIVED)

        rows.append((name, len(expected["events"]), cost(call, 2000)))
    many = thousand_alerts()
    rows.append(("alertmanager, 1000 alerts", 1000, cost(lambda: parse("auto", many, {}, {}, RECEIVED), 5)))
    return rows


def main() -> None:
    rows = measure()
    width = max(len(name) for name, _, _ in rows)
    print(f"{'payload':{width}}  events        us")
    for name, events, microseconds in rows:
        target = TARGET_ONE * max(events, 1) if events < 1000 else TARGET_THOUSAND
        print(f"{name:{width}}  {events:6}  {microseconds:8.1f}{'  over its target' if microseconds > target else ''}")


if __name__ == "__main__":
    main()
