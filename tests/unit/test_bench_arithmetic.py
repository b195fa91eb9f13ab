"""bench/arithmetic.py: percentiles, costs, ratios, slopes."""

import pytest

from bench.arithmetic import Run, cost, percentile, ratio, slope, spread


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(values, 1) == 100
    assert percentile(values, 0) == 1


def test_the_order_of_the_values_does_not_matter() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 0.99) == 7


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 1.1), ([1.0], -0.1)])
def test_a_percentile_of_nothing_or_beyond_all_is_refused(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match=r"percentile|share"):
        percentile(values, share)


def test_ratio_is_upstream_over_ours() -> None:
    assert ratio(33.0, 1.5) == 22


def test_a_ratio_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        ratio(1.0, 0.0)


def test_a_slope_is_that_of_the_best_line() -> None:
    assert slope([(0, 1), (1, 3), (2, 5)]) == pytest.approx(2)
    assert slope([(0, 0), (1, 2), (2, 1)]) == pytest.approx(0.5)
    assert slope([(0, 4), (5, 4)]) == 0


def test_a_slope_needs_two_points() -> None:
    with pytest.raises(ValueError, match="two"):
        slope([(1, 1), (1, 2)])


def test_a_spread_is_relative_to_the_smallest() -> None:
    assert spread([100.0, 120.0, 110.0]) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="positive"):
        spread([0.0, 1.0])


def run(requests: int, cpu_seconds: float, *, instructions: int | None = None, seconds: float = 1.0) -> Run:
    return Run(requests, 0, seconds, cpu_seconds, [0.001] * requests, instructions)


def test_cpu_is_per_request_in_microseconds() -> None:
    assert run(1000, 0.5).cpu_us == 500


def test_a_cost_is_the_median_of_its_runs_so_that_one_disturbed_run_does_not_count() -> None:
    found = cost([run(100, 0.010), run(100, 0.011), run(100, 0.090)])
    assert found.cpu_us == pytest.approx(110)
    assert found.cpu_us_runs == pytest.approx([100, 110, 900])


def test_a_cost_counts_all_requests_over_all_the_time() -> None:
    found = cost([run(100, 0.01, seconds=1), run(300, 0.03, seconds=3)])
    assert found.requests == 400
    assert found.per_second == 100
    assert found.latency_ms == {"p50": 1.0, "p99": 1.0}


def test_instructions_are_per_request_where_counted() -> None:
    assert cost([run(10, 1)]).instructions is None
    assert cost([run(10, 1, instructions=5000), run(10, 1, instructions=7000), run(10, 1)]).instructions == 600


def test_a_cost_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="runs"):
        cost([])
    with pytest.raises(ValueError, match="request"):
        cost([run(0, 1.0)])
