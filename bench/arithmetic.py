"""The sums behind the tables: percentiles, costs, ratios, slopes. Pure, and held by unit tests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that at least `share` (0..1) of them do not exceed (nearest rank).

    Raises:
        ValueError: there are no values, or the share is outside 0..1.
    """
    if not values:
        raise ValueError("a percentile of nothing")
    if not 0 <= share <= 1:
        raise ValueError(f"a share is between 0 and 1, not {share}")
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def ratio(theirs: float, ours: float) -> float:
    """Return the cost of theirs divided by ours.

    Raises:
        ValueError: ours has no measurable cost.
    """
    if ours <= 0:
        raise ValueError("no ratio to a cost of nothing")
    return theirs / ours


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares slope of y over x.

    Raises:
        ValueError: fewer than two different x.
    """
    if len({x for x, _ in points}) < 2:
        raise ValueError("a slope needs two different x")
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return above / sum((x - mean_x) ** 2 for x, _ in points)


def spread(values: Sequence[float]) -> float:
    """(largest - smallest) / smallest: 0.2 = within 20 %.

    Raises:
        ValueError: there are no values, or one is not positive.
    """
    if not values or min(values) <= 0:
        raise ValueError("a spread is of positive values")
    return (max(values) - min(values)) / min(values)


@dataclass(frozen=True, slots=True)
class Run:
    """One stretch of load on one server.

    Attributes:
        requests: finished requests, failed ones included.
        seconds: wall time.
        cpu_seconds: user + system time of the server meanwhile.
        latencies: seconds, one per request.
        instructions: of the server in user and kernel mode; None where the machine does not count them.
    """

    requests: int
    failures: int
    seconds: float
    cpu_seconds: float
    latencies: Sequence[float] = field(repr=False)
    instructions: int | None = None

    @property
    def cpu_us(self) -> float:
        """Return server CPU per request, in microseconds."""
        return self.cpu_seconds / self.requests * 1e6


@dataclass(frozen=True, slots=True)
class Cost:
    """Summary of several runs of the same load.

    Attributes:
        cpu_us: the median over the runs of server CPU per request, in microseconds.
        cpu_us_runs: each run's, in the order they were made.
        latency_ms: "p50" and "p99" over all requests.
        per_second: requests a second over all runs.
        instructions: per request, the median over the runs that counted them.
    """

    requests: int
    failures: int
    cpu_us: float
    cpu_us_runs: list[float]
    latency_ms: dict[str, float]
    per_second: float
    instructions: float | None = None


def cost(runs: Sequence[Run]) -> Cost:
    """Sum up runs of the same load.

    Raises:
        ValueError: there is no run, or one without a request.
    """
    if not runs or any(run.requests == 0 for run in runs):
        raise ValueError("a cost needs runs, and each of them a request")
    latencies = [latency for run in runs for latency in run.latencies]
    counted = [run.instructions / run.requests for run in runs if run.instructions is not None]
    return Cost(
        requests=sum(run.requests for run in runs),
        failures=sum(run.failures for run in runs),
        cpu_us=median(run.cpu_us for run in runs),
        cpu_us_runs=[run.cpu_us for run in runs],
        latency_ms={"p50": percentile(latencies, 0.5) * 1000, "p99": percentile(latencies, 0.99) * 1000},
        per_second=sum(run.requests for run in runs) / sum(run.seconds for run in runs),
        instructions=median(counted) if counted else None,
    )
