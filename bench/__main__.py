"""`python -m bench [SECTION ...] [--quick]`: measures, prints tables, writes them to bench/results/."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from bench import alone, compare, report, soak, stored_events
from bench.alone import Point
from bench.stored_events import SIZES

Say = Callable[[str], None]

_TITLES = {
    "floor": "The floor: an empty rpc on grpc.aio and uvloop",
    "compare": "Ours and upstream on the same mongod, server CPU per request",
    "double": "Ours on the MongoDB double",
    "writes": "Creates where a write takes 3 ms",
    "pages": "Cost against page size",
    "batches": "Cost of CreateBatch against its payloads",
    "growth": "Cost against the number of stored events",
    "stored": "Cost and latency against the number of events that a mongod holds",
    "offered": "Latency against offered load",
    "soak": "Memory under lasting load",
}
_USUAL = ("floor", "compare", "double", "writes")


def main(arguments: Sequence[str]) -> None:
    """Measure the sections asked for, the usual ones if none is named."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(_TITLES)}; all; usual: {_USUAL}")
    parser.add_argument("--quick", action="store_true", help="one short round: shows that it runs, proves nothing")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak-minutes", type=float, default=10.0)
    parser.add_argument("--plots", action="store_true", help="also draw results/*.png (needs matplotlib)")
    asked = parser.parse_args(arguments)
    if wrong := set(asked.sections) - {*_TITLES, "all"}:
        parser.error(f"no such section: {', '.join(sorted(wrong))}")
    chosen = tuple(_TITLES) if "all" in asked.sections else tuple(asked.sections) or _USUAL
    rounds = 1 if asked.quick else asked.rounds
    side_by_side = compare.Plan(rounds, seconds=1.0 if asked.quick else 4.0)
    plan = alone.Plan(rounds, seconds=1.0 if asked.quick else 3.0)
    minutes = 0.2 if asked.quick else asked.soak_minutes
    measures: dict[str, Callable[[Say], list[Any]]] = {
        "floor": lambda say: alone.floor(plan, say),
        "compare": lambda say: compare.compare(side_by_side, say),
        "double": lambda say: alone.on_the_double(plan, say),
        "writes": lambda say: alone.slow_writes(plan, say),
        "pages": lambda say: alone.by_page_size(plan, say),
        "batches": lambda say: alone.by_batch_size(plan, say),
        "growth": lambda say: alone.by_stored_events(plan, say),
        "stored": lambda say: stored_events.by_stored_events(plan, say, (300, 1000) if asked.quick else SIZES),
        "offered": lambda say: alone.by_offered_load(plan, say),
        "soak": lambda say: soak.soak(minutes * 60, say),
    }
    sections: dict[str, list[Any]] = {}
    texts: dict[str, str] = {}
    for name in chosen:
        print(f"\n{_TITLES[name]}", flush=True)
        sections[name] = rows = measures[name](lambda line: print(f"  {line}", flush=True))
        texts[_TITLES[name]] = text = _text(name, rows)
        print(f"\n{text}")
        # After every section: what was measured is kept even if a later one fails.
        path = report.write(sections, texts)
    print(f"\nWritten to {path.relative_to(path.parents[2])} and {path.with_suffix('.json').name} beside it.")
    if asked.plots:
        from bench import plots  # noqa: PLC0415 - matplotlib is an extra

        plots.draw(sections)


def _text(name: str, rows: list[Any]) -> str:
    if name == "compare":
        return report.compared(rows)
    if name == "soak":
        return soak.text(rows)
    return report.points([row for row in rows if isinstance(row, Point)])


if __name__ == "__main__":
    main(sys.argv[1:])
