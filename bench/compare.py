"""Ours and upstream side by side: the same database server, the same requests, rounds that take turns.

The figures of one run are comparable with each other and with nothing else, which is why upstream is measured anew
each time and every ratio is computed from the run.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from bench import load, real_clients, servers
from bench.arithmetic import Cost, Run, cost, ratio
from bench.load import Load
from bench.servers import Target

EVENTS = 300
READS = ("get", "list10", "list100", "stat")
VARIED = ("list10@*", "stat@*")
"""The same, but no two clients ask the same: what concurrent equal questions share does not count here."""
AIMS = {"create": 30, "get": 12, "list10": 12, "list100": 55, "stat": 7}
"""Target ratio of upstream's cost to ours for each rpc at 16 clients, with grpcio."""


@dataclass(frozen=True, slots=True)
class Row:
    """One rpc under one number of clients. `upstream` and `ratio` are None where upstream was not measured."""

    rpc: str
    clients: int
    ours: Cost
    upstream: Cost | None = None
    ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Durations of a comparison.

    Attributes:
        seconds: of load on a server for one rpc and number of clients, in each round.
        least: calls, however long they take: upstream manages a few a second.
    """

    rounds: int = 3
    seconds: float = 4.0
    least: int = 32


def compare(plan: Plan, say: Callable[[str], None]) -> list[Row]:
    """Measure both, or ours alone where upstream is not installed."""
    with _targets(say) as targets:
        ready = [_prepared(target, say) for target in targets]
        runs: dict[tuple[str, int, str], list[Run]] = defaultdict(list)
        # All reads come first: then both hold the same 300 events throughout.
        for rpcs in ((*READS, *VARIED), ("create",)):
            for number in range(plan.rounds):
                for rpc, clients, target in _round(rpcs, ready, number):
                    one = load.run(_load(rpc, clients, plan), target.port, target.names, target.process_id)
                    runs[rpc, clients, target.name].append(one)
                    say(f"round {number + 1}  {rpc:8} {clients:3} clients  {target.name:9} {one.cpu_us:9.0f} us")
    return _rows(runs)


def _round(rpcs: tuple[str, ...], targets: list[Target], number: int) -> Iterator[tuple[str, int, Target]]:
    """Return the measurements of a round, in order; the first service alternates between rounds."""
    for rpc in rpcs:
        for clients in (1, 16, 64):
            for target in targets if number % 2 == 0 else reversed(targets):
                if clients <= 16 or target.name == "ours":
                    yield rpc, clients, target


def _load(rpc: str, clients: int, plan: Plan) -> Load:
    return Load(rpc, connections=clients, seconds=plan.seconds, least=max(plan.least, clients))


@contextmanager
def _targets(say: Callable[[str], None]) -> Iterator[list[Target]]:
    missing = servers.peer_is_missing()
    with ExitStack() as stack:
        if missing:
            say(f"Ours alone: {missing}.")
            yield [stack.enter_context(servers.ours(stack.enter_context(servers.mongod())))]
        else:
            theirs = stack.enter_context(servers.upstream())
            yield [stack.enter_context(servers.ours(servers.peer_database_uri())), theirs]


def _prepared(target: Target, say: Callable[[str], None]) -> Target:
    """Fill a server through its own create, and has ordinary clients check what it answers."""
    say(f"{target.name}: {EVENTS} events through its own create")
    fill = Load("create", connections=4, seconds=0, least=EVENTS, most=EVENTS)
    load.run(fill, target.port, target.names, target.process_id, warm_up=False)
    target = servers.with_event_ids(target)
    real_clients.check(target)
    return target


def _rows(runs: dict[tuple[str, int, str], list[Run]]) -> list[Row]:
    rows = []
    for rpc, clients in dict.fromkeys((rpc, clients) for rpc, clients, _ in runs):
        mine, theirs = runs[rpc, clients, "ours"], runs.get((rpc, clients, "upstream"))
        row = Row(rpc, clients, cost(mine))
        if theirs:
            upstream = cost(theirs)
            row = replace(row, upstream=upstream, ratio=ratio(upstream.cpu_us, row.ours.cpu_us))
        rows.append(row)
    return rows
