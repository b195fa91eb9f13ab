"""Output of bench and of the programs it parses: perf, h2load, tables."""

from bench import h2load, instructions, report, soak
from bench.alone import Point
from bench.arithmetic import Cost
from bench.compare import Row
from bench.soak import Sample

H2LOAD = """\
finished in 812.30ms, 4923.12 req/s, 1.02MB/s
requests: 4000 total, 4000 started, 4000 done, 3999 succeeded, 1 failed, 0 errored, 0 timeout
status codes: 3999 2xx, 0 3xx, 0 4xx, 1 5xx
"""

PERF = """
 Performance counter stats for process id '42':

     1,234,567,890      instructions              #    1.10  insn per cycle

       1.002003004 seconds time elapsed
"""

PERF_WITHOUT_COUNTER = """
 Performance counter stats for 'true':

   <not supported>      instructions
"""


def a_cost(cpu_us: float, instructions_: float | None = None) -> Cost:
    return Cost(90, 0, cpu_us, [cpu_us, cpu_us + 10], {"p50": 1.0, "p99": 2.5}, 300.0, instructions_)


def test_h2load_says_how_many_calls_were_answered_and_how_long_it_took() -> None:
    assert h2load.succeeded(H2LOAD) == 3999
    assert h2load.seconds(H2LOAD) == 0.8123
    assert h2load.seconds("finished in 1.50s, 10 req/s") == 1.5


def test_an_output_of_h2load_that_counts_nothing_is_no_success() -> None:
    assert h2load.succeeded("connection refused") == 0


def test_perf_counts_instructions_or_says_that_it_cannot() -> None:
    assert instructions.parse(PERF) == 1_234_567_890
    assert instructions.parse(PERF_WITHOUT_COUNTER) is None


def test_the_comparison_shows_the_ratio_of_the_run_and_the_aim() -> None:
    rows = [Row("get", 16, a_cost(400.0), a_cost(5600.0), 14.0), Row("get", 64, a_cost(390.0))]
    assert report.compared(rows).splitlines()[2:] == [
        "| get | 16 | 400 (400-410) | 5600 (5600-5610) | **14.0** | 12 | 1.0 / 2.5 | 1.0 / 2.5 | 300 | 300 |",
        "| get | 64 | 390 (390-400) |  |  |  | 1.0 / 2.5 |  | 300 |  |",
    ]


def test_points_show_instructions_only_where_they_were_counted() -> None:
    without = report.points([Point({"rpc": "get", "rows": 3}, a_cost(400.0))])
    assert without.splitlines()[0] == "| rpc | rows | CPU us | p50 / p99 ms | /s |"
    counted = report.points([Point({"rpc": "get"}, a_cost(400.0, 12345.6))])
    assert "| 12,346 |" in counted


def test_memory_is_judged_once_it_has_settled() -> None:
    filling = [Sample(0, 50_000_000), Sample(60, 100_000_000)]
    flat = [Sample(60.0 * minute, 100_000_000) for minute in range(2, 10)]
    assert soak.growth([*filling, *flat]) == 0
    rising = [Sample(60.0 * minute, 100_000_000 + 2_000_000 * minute) for minute in range(10)]
    assert soak.growth(rising) == 2
