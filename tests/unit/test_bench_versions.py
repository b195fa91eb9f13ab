"""bench/versions.py: what is asked for, and how the answer is shown."""

import pytest

from bench import load, versions
from bench.arithmetic import Run
from bench.load import Load
from bench.servers import Target
from bench.workload import Names


def test_a_load_is_written_in_three_parts() -> None:
    assert versions.parse_load("batch100:4:16", 2.5) == Load("batch100", 4, 16, 2.5)
    with pytest.raises(ValueError, match="unpack"):
        versions.parse_load("create", 1)


def test_versions_take_turns_and_are_set_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def run(_: Load, port: int, names: Names, process_id: int) -> Run:
        assert names.webhook_id == "w"
        order.append({1: "before", 2: "after"}[process_id])
        return Run(requests=100, failures=0, seconds=1.0, cpu_seconds=0.1 / process_id, latencies=[0.002] * 100)

    monkeypatch.setattr(load, "run", run)
    names = Names("w", "k", (), {})
    targets = {"before": Target("ours", 1, 1, names), "after": Target("ours", 2, 2, names)}
    costs = versions.compare(targets, versions.parse_load("create:16:1", 1), rounds=2)
    assert order == ["before", "after", "after", "before"]
    shown = versions.line("create:16:1", costs["before"], costs["after"])
    assert "1000 /    1000 us" in shown
    assert "500 /     500 us" in shown
    assert shown.endswith("2.00x")
