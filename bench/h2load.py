"""Load by h2load (Debian: nghttp2-client) for requests that are all the same: the cheapest client there is.

It does not look at grpc-status, so `real_clients.check` comes before it, and the bytes it received are compared with
those of a checked reply.
"""

import re
import subprocess
import tempfile
from pathlib import Path

from bench.arithmetic import Run
from bench.http2 import message_frame
from bench.instructions import Counter
from bench.load import Load, LoadFailedError
from bench.processes import cpu_seconds, find_program
from bench.workload import Names, message_maker, method_of


def can_send(rpc: str) -> bool:
    """Return True if h2load is on PATH or below .tools, and the rpc's requests are all the same."""
    return find_program("h2load") is not None and rpc.startswith(("list", "stat")) and not rpc.endswith("*")


def run(load: Load, port: int, names: Names, server_process: int) -> Run:
    """`load.least` calls of a reading rpc, after as many as there are calls in flight to warm up.

    Raises:
        LoadFailedError: a call was not answered with HTTP status 200.
    """
    program = find_program("h2load")
    if program is None or not can_send(load.rpc):
        raise ValueError("h2load is not there, or is asked for bodies that vary")
    with tempfile.TemporaryDirectory(prefix="event-service-bench-") as folder:
        body, log = Path(folder) / "body", Path(folder) / "log"
        body.write_bytes(message_frame(message_maker(load.rpc, names)()))
        headers = {"content-type": "application/grpc", "te": "trailers", **names.metadata}
        command: list[str | Path] = [
            program,
            "-t",
            "1",
            "-c",
            str(load.connections),
            "-m",
            str(load.streams),
            "-d",
            body,
        ]
        command += [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
        address = f"http://127.0.0.1:{port}{method_of(load.rpc)}"
        calls = load.connections * load.streams
        subprocess.run([*command, "-n", str(calls), address], check=True, capture_output=True)
        before = cpu_seconds(server_process)
        with Counter(server_process) as counter:
            words = [*command, "-n", str(load.least), f"--log-file={log}", address]
            output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        used = cpu_seconds(server_process) - before
        latencies = [int(line.split()[2]) / 1e6 for line in log.read_text().splitlines()]
    if succeeded(output) != load.least or len(latencies) != load.least:
        raise LoadFailedError(f"h2load: {output}")
    return Run(load.least, 0, seconds(output), used, latencies, counter.instructions)


def succeeded(output: str) -> int:
    """Return the number of answered requests in what h2load prints."""
    found = re.search(r"^requests: .* (\d+) succeeded", output, re.MULTILINE)
    return int(found.group(1)) if found else 0


def seconds(output: str) -> float:
    """Return the duration in h2load's output, which is in s, ms or us."""
    found = re.search(r"^finished in ([\d.]+)(s|ms|us)\b", output, re.MULTILINE)
    if found is None:
        raise ValueError(f"h2load did not say how long it took: {output}")
    return float(found.group(1)) * {"s": 1, "ms": 1e-3, "us": 1e-6}[found.group(2)]
