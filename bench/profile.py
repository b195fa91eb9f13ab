"""Where an rpc's time goes, by layer and by function: `python -m bench.profile [RPC ...] [--on double|secantus]`.

py-spy samples the server under load; a sample counts for the innermost frame of each thread that is running. Time in
C without Python frames of its own (grpc's core, BSON, the kernel) counts for the Python function that called it,
which is how `grpc` and the event loop come to their shares.
"""

import argparse
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
from bench.arithmetic import Run
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
_WAITING = ("wait (threading.py", "select (selectors.py")


def layer_of(frame: str) -> str:
    """The layer a frame of py-spy (`function (path:line)`) belongs to."""
    for pattern, name in _LAYERS:
        if found := re.search(pattern, frame):
            return found.expand(name)
    return "other Python"


def by_layer(stacks: Mapping[str, int]) -> Counter[str]:
    """Samples of each layer; a stack counts for its innermost frame that belongs to one.

    Args:
        stacks: py-spy's raw format: frames joined by `;`, outermost first, and how often they were seen.
    """
    layers: Counter[str] = Counter()
    for stack, times in stacks.items():
        known = [layer for frame in stack.split(";") if (layer := layer_of(frame)) != "other Python"]
        layers[known[-1] if known else "other Python"] += times
    return layers


def by_function(stacks: Mapping[str, int], *, inclusive: bool = False) -> Counter[str]:
    """Samples of each function (`function (file)`): of its own, or with all it calls."""
    functions: Counter[str] = Counter()
    for stack, times in stacks.items():
        frames = [_short(frame) for frame in stack.split(";")]
        for name in set(frames) if inclusive else frames[-1:]:
            functions[name] += times
    return functions


def parse(raw: str) -> dict[str, int]:
    """py-spy's raw format as stacks and how often they were seen; threads that only wait are left out."""
    stacks: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, times = line.rpartition(" ")
        if stack and not stack.rpartition(";")[2].startswith(_WAITING):
            stacks[stack] += int(times)
    return dict(stacks)


def _short(frame: str) -> str:
    found = _FRAME.match(frame)
    if found is None:
        return frame
    path = found["file"]
    kept = re.sub(r".*(site-packages|src|lib/python[\d.]+)/", "", path)
    return f"{found['function']} ({kept})"


def sample(target: Target, wanted: Load) -> tuple[dict[str, int], Run]:
    """Stacks of the server under load, and the load's own figures (py-spy slows the server a little)."""
    program = Path(sys.executable).with_name("py-spy")
    found = program if program.exists() else find_program("py-spy")
    if found is None:
        raise SystemExit("py-spy is not installed: pip install py-spy")
    with tempfile.TemporaryDirectory(prefix="event-service-bench-") as folder:
        file = Path(folder) / "stacks"
        # The load begins with a warm-up; sampling begins with it and ends before it does.
        command = [found, "record", "--pid", str(target.process_id), "--rate", str(_RATE), "--format", "raw",
            "--duration", str(int(wanted.seconds)), "--output", file]  # fmt: skip
        spy = threading.Timer(1.0, subprocess.run, args=(command,), kwargs={"check": True, "capture_output": True})
        spy.start()
        run = load.run(replace(wanted, seconds=wanted.seconds + 1), target.port, target.names, target.process_id)
        spy.join()
        return parse(file.read_text()), run


@contextmanager
def _target(database: str) -> Iterator[Target]:
    if database == "double":
        with servers.double() as uri, servers.ours(uri) as target:
            yield target
        return
    with servers.secantus() as uri, servers.ours(uri) as target:
        fill = Load("create", connections=4, seconds=0, least=EVENTS, most=EVENTS)
        load.run(fill, target.port, target.names, target.process_id, warm_up=False)
        yield replace(target, names=replace(target.names, event_id=servers.newest_event_id(target)))


def main(arguments: Sequence[str]) -> None:
    """Prints, for each rpc, the shares of the layers and the functions that cost most."""
    parser = argparse.ArgumentParser(prog="bench.profile", description=__doc__)
    parser.add_argument("rpcs", nargs="*", default=list(RPCS), metavar="RPC", help=", ".join(RPCS))
    parser.add_argument("--on", choices=("double", "secantus"), default="double")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--functions", type=int, default=25, help="how many are listed")
    parser.add_argument("--stacks", type=Path, help="also write the raw stacks into this folder (for a flame graph)")
    asked = parser.parse_args(arguments)
    with _target(asked.on) as target:
        for rpc in asked.rpcs:
            wanted = Load(rpc, asked.connections, asked.streams, asked.seconds)
            undisturbed = load.run(replace(wanted, seconds=3), target.port, target.names, target.process_id)
            stacks, _ = sample(target, wanted)
            if asked.stacks:
                asked.stacks.mkdir(exist_ok=True)
                lines = (f"{stack} {times}\n" for stack, times in stacks.items())
                (asked.stacks / f"{rpc}.txt").write_text("".join(lines))
            print(f"\n{rpc}: {undisturbed.cpu_us:.0f} us a request, {asked.connections * asked.streams} in flight")
            _print("layer", by_layer(stacks), undisturbed.cpu_us, 20)
            _print("function, its own time", by_function(stacks), undisturbed.cpu_us, asked.functions)
            _print("function, with all it calls", by_function(stacks, inclusive=True), undisturbed.cpu_us,
                asked.functions)  # fmt: skip


def _print(title: str, samples: Counter[str], cpu_us: float, most: int) -> None:
    total = samples.total() if title == "layer" or "own" in title else None
    print(f"  {title}")
    whole = total or max(samples.values(), default=1)
    for name, times in samples.most_common(most):
        print(f"    {times / whole:6.1%} {times / whole * cpu_us:7.0f} us  {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
