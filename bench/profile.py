"""Profile rpcs by layer and by function: `python -m bench.profile [RPC ...] [--on double|mongod]`.

Two views of the same load. The CPU of each thread is what the kernel counted: it is complete, and knows no functions.
py-spy's samples know functions, but are taken only of threads that hold Python's lock (`--gil`), because on virtual
machines it takes waiting threads for busy ones: what C code does without the lock (grpc's core, sockets) is not in
them. A sample counts for the innermost frame that belongs to a layer.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench import load, servers
from bench.compare import EVENTS
from bench.load import Load
from bench.processes import find_program
from bench.servers import Target
from bench.workload import RPCS

_RATE = 250
_FRAME = re.compile(r"(?P<function>.+?) \((?P<file>[^()]*?)(:(?P<line>\d+))?\)$")
# The first that is found in a frame's path names its layer.
_LAYERS = (
    (r"event_service/_gen/", "protobuf"),
    (r"event_service/([a-z_]+)/", r"event_service.\1"),
    (r"event_service/([a-z_]+)\.py", r"event_service.\1"),
    (r"\b(pymongo|bson|grpc|uvloop|starlette|uvicorn|joserfc|pydantic|dateutil)/", r"\1"),
    (r"google/protobuf/", "protobuf"),
    (r"\basyncio/", "asyncio"),
    (r"\bthreading\.py|\bselectors\.py|\bqueue\.py|\bsocket\.py", "threads"),
)


def layer_of(frame: str) -> str:
    """Return the layer a frame of py-spy (`function (path:line)`) belongs to."""
    for pattern, name in _LAYERS:
        if found := re.search(pattern, frame):
            return found.expand(name)
    return "other Python"


def by_layer(stacks: Mapping[str, int]) -> Counter[str]:
    """Return samples of each layer; a stack counts for its innermost frame that belongs to one.

    Args:
        stacks: py-spy's raw format: frames joined by `;`, outermost first, and how often they were seen.
    """
    layers: Counter[str] = Counter()
    for stack, times in stacks.items():
        known = [layer for frame in stack.split(";") if (layer := layer_of(frame)) != "other Python"]
        layers[known[-1] if known else "other Python"] += times
    return layers


def by_function(stacks: Mapping[str, int], *, inclusive: bool = False) -> Counter[str]:
    """Return samples of each function (`function (file)`): of its own, or with all it calls."""
    functions: Counter[str] = Counter()
    for stack, times in stacks.items():
        frames = [_short(frame) for frame in stack.split(";")]
        for name in set(frames) if inclusive else frames[-1:]:
            functions[name] += times
    return functions


def parse(raw: str) -> dict[str, int]:
    """py-spy's raw format as stacks and how often they were seen."""
    stacks: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, times = line.rpartition(" ")
        if stack:
            stacks[stack] += int(times)
    return dict(stacks)


def _short(frame: str) -> str:
    found = _FRAME.match(frame)
    if found is None:
        return frame
    path = found["file"]
    kept = re.sub(r".*(site-packages|src|lib/python[\d.]+)/", "", path)
    return f"{found['function']} ({kept})"


def sample(target: Target, wanted: Load) -> dict[str, int]:
    """Return stacks of the server while it is under load, which py-spy slows a little."""
    with tempfile.TemporaryDirectory(prefix="event-service-bench-") as folder:
        file = Path(folder) / "stacks"
        command = [_py_spy(), "record", "--pid", str(target.process_id), "--rate", str(_RATE), "--gil",
            "--format", "raw", "--duration", str(int(wanted.seconds)), "--output", file]  # fmt: skip
        spy = threading.Timer(1.0, subprocess.run, args=(command,), kwargs={"check": True, "capture_output": True})
        spy.start()
        # Longer than py-spy looks: it begins when the load has connected.
        load.run(replace(wanted, seconds=wanted.seconds + 2), target.port, target.names, target.process_id)
        spy.join()
        return parse(file.read_text())


def thread_seconds(process_id: int) -> dict[int, float]:
    """CPU time of each thread of a process, in seconds, by thread id. Linux only."""
    tasks = Path(f"/proc/{process_id}/task")
    return {int(task.name): int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks.iterdir()}


def thread_names(process_id: int) -> dict[int, str]:
    """Return names of a process's threads without numbers: Python's names, or the kernel's."""
    tasks = Path(f"/proc/{process_id}/task")
    names = {int(task.name): (task / "comm").read_text().strip() for task in tasks.iterdir()}
    command: list[str | Path] = [_py_spy(), "dump", "--json", "--pid", str(process_id)]
    dumped = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for thread in dumped:
        names[thread["os_thread_id"]] = thread["thread_name"] or names.get(thread["os_thread_id"], "?")
    return {number: re.sub(r"\d+", "N", name) for number, name in names.items()}


def by_thread(names: Mapping[int, str], before: Mapping[int, float], after: Mapping[int, float]) -> dict[str, float]:
    """Return seconds of CPU by name of thread, most first."""
    spent: dict[str, float] = {}
    for number, seconds in after.items():
        name = names.get(number, "?")
        spent[name] = spent.get(name, 0.0) + seconds - before.get(number, 0.0)
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def _py_spy() -> Path:
    program = Path(sys.executable).with_name("py-spy")
    found = program if program.exists() else find_program("py-spy")
    if found is None:
        raise SystemExit("py-spy is not installed: pip install py-spy")
    return found


@contextmanager
def _target(database: str) -> Iterator[Target]:
    if database == "double":
        with servers.double() as uri, servers.ours(uri) as target:
            yield target
        return
    with servers.mongod() as uri, servers.ours(uri) as target:
        fill = Load("create", connections=4, seconds=0, least=EVENTS, most=EVENTS)
        load.run(fill, target.port, target.names, target.process_id, warm_up=False)
        yield servers.with_event_ids(target)


def main(arguments: Sequence[str]) -> None:
    """Print, for each rpc, the shares of the layers and the functions that cost most."""
    parser = argparse.ArgumentParser(prog="bench.profile", description=__doc__)
    parser.add_argument("rpcs", nargs="*", default=list(RPCS), metavar="RPC", help=", ".join(RPCS))
    parser.add_argument("--on", choices=("double", "mongod"), default="double")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--functions", type=int, default=25, help="how many are listed")
    parser.add_argument("--stacks", type=Path, help="also write the raw stacks into this folder (for a flame graph)")
    asked = parser.parse_args(arguments)
    with _target(asked.on) as target:
        for rpc in asked.rpcs:
            wanted = Load(rpc, asked.connections, asked.streams, asked.seconds)
            before = thread_seconds(target.process_id)
            undisturbed = load.run(replace(wanted, seconds=4), target.port, target.names, target.process_id)
            threads = by_thread(thread_names(target.process_id), before, thread_seconds(target.process_id))
            print(f"\n{rpc}: {undisturbed.cpu_us:.0f} us a request, {asked.connections * asked.streams} in flight")
            _print("thread (kernel's count, warm-up included)", threads, sum(threads.values()), undisturbed.cpu_us, 12)
            stacks = sample(target, wanted)
            if asked.stacks:
                asked.stacks.mkdir(exist_ok=True)
                lines = (f"{stack} {times}\n" for stack, times in stacks.items())
                (asked.stacks / f"{rpc}.txt").write_text("".join(lines))
            total = sum(stacks.values())
            _print("layer (holding Python's lock)", by_layer(stacks), total, undisturbed.cpu_us, 20)
            _print("function, its own time", by_function(stacks), total, undisturbed.cpu_us, asked.functions)
            inclusive = by_function(stacks, inclusive=True)
            _print("function, with all it calls", inclusive, total, undisturbed.cpu_us, asked.functions)


def _print(title: str, parts: Mapping[str, float], total: float, cpu_us: float, most: int) -> None:
    print(f"  {title}")
    for name, part in sorted(parts.items(), key=lambda item: -item[1])[:most]:
        print(f"    {part / total:6.1%} {part / total * cpu_us:7.0f} us  {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
