"""Pictures of what was measured, into bench/results/: `python -m bench --plots`. Needs matplotlib."""

from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from bench.alone import Point
from bench.report import RESULTS

_Y_CPU = "server CPU per request (us)"


def draw(sections: dict[str, list[Any]]) -> None:
    """One picture for each section that shows how something grows."""
    if points := sections.get("offered"):
        _lines(points, "offered per second", "offered load (calls a second)", "latency p99 (ms)", "latency.png", "p99")
    if points := sections.get("pages"):
        _lines(points, "rows", "rows of a page", _Y_CPU, "pages.png", "cpu", logarithmic=True)
    if points := sections.get("batches"):
        _lines(points, "payloads", "payloads of a CreateBatch", _Y_CPU, "batches.png", "cpu", logarithmic=True)
    if points := sections.get("growth"):
        _lines(points, "stored events", "stored events", _Y_CPU, "growth.png", "cpu", logarithmic=True)
    if points := sections.get("stored"):
        at_once = [point for point in points if point.at["in flight"] != 1]
        _lines(at_once, "stored events", "stored events", _Y_CPU, "stored.png", "cpu", logarithmic=True)


def _lines(
    points: Sequence[Point], at: str, label: str, value: str, name: str, what: str, *, logarithmic: bool = False
) -> None:
    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for rpc in dict.fromkeys(str(point.at["rpc"]) for point in points):
        mine = [point for point in points if point.at["rpc"] == rpc]
        y = [point.cost.latency_ms["p99"] if what == "p99" else point.cost.cpu_us for point in mine]
        axes.plot([float(point.at[at]) for point in mine], y, marker="o", label=rpc)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
    else:
        axes.set_yscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel(value)
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(RESULTS / name, dpi=120)
    pyplot.close(figure)
