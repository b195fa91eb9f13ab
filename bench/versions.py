"""Two versions of the service side by side: `python -m bench.versions OTHER_CHECKOUT [LOAD ...]`.

On a machine that does other work too, a figure of an hour ago says nothing. Both versions run at the same time, each on
a database of its own, and are put under load in turns; the environment's packages are the same for both.

A load is RPC:CONNECTIONS:STREAMS, such as create:16:1 or batch100:4:1.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import load, servers
from bench.arithmetic import Cost, Run, cost, ratio
from bench.load import Load
from bench.processes import ROOT
from bench.servers import Target

LOADS = ("create:16:1", "create:4:16", "batch100:4:1")


def parse_load(written: str, seconds: float) -> Load:
    """RPC:CONNECTIONS:STREAMS as a load of that many seconds.

    Raises:
        ValueError: it is not of this form.
    """
    rpc, connections, streams = written.split(":")
    return Load(rpc, int(connections), int(streams), seconds)


def compare(targets: Mapping[str, Target], wanted: Load, rounds: int) -> dict[str, Cost]:
    """Return the cost of the load on each target; the targets alternate in going first."""
    runs: dict[str, list[Run]] = {name: [] for name in targets}
    for number in range(rounds):
        names = list(targets) if number % 2 == 0 else list(reversed(targets))
        for name in names:
            target = targets[name]
            runs[name].append(load.run(wanted, target.port, target.names, target.process_id))
    return {name: cost(made) for name, made in runs.items()}


def line(written: str, before: Cost, after: Cost) -> str:
    """Both costs in a line, least and median of the rounds, and how many times cheaper the second one is."""
    shown = [
        f"{min(spent.cpu_us_runs):7.0f} / {spent.cpu_us:7.0f} us, p50 {spent.latency_ms['p50']:5.1f} ms,"
        f" {spent.per_second:5.0f} /s"
        for spent in (before, after)
    ]
    return f"{written:14} {shown[0]}  ->  {shown[1]}   {ratio(before.cpu_us, after.cpu_us):.2f}x"


def main(arguments: Sequence[str]) -> None:
    """Print a line for each load: the other checkout's cost, then this one's."""
    parser = argparse.ArgumentParser(prog="bench.versions", description=__doc__)
    parser.add_argument("other", type=Path, help="a checkout of the version to compare with")
    parser.add_argument("loads", nargs="*", default=list(LOADS), metavar="LOAD")
    parser.add_argument("--on", choices=("double", "mongod"), default="double")
    parser.add_argument("--write-latency-ms", type=float, default=0.0, help="of the double")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.5)
    asked = parser.parse_args(arguments)
    with ExitStack() as stack:
        targets = {}
        for name, checkout in (("before", asked.other.resolve()), ("after", ROOT)):
            uri = stack.enter_context(
                servers.mongod() if asked.on == "mongod" else servers.double(write_latency_ms=asked.write_latency_ms)
            )
            environment = {"PYTHONPATH": str(checkout / "src")}
            targets[name] = stack.enter_context(servers.ours(uri, settings=environment))
        for written in asked.loads:
            costs = compare(targets, parse_load(written, asked.seconds), asked.rounds)
            print(line(written, costs["before"], costs["after"]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
