"""Memory of the service under lasting load: it may rise while caches fill, and then must not."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench import load, servers
from bench.arithmetic import slope
from bench.load import Load
from bench.processes import resident_bytes

SHARE = 0.7
"""Of what the service can do, while it is watched."""

_SETTLING = 0.2  # of the time, until caches and arenas have their size
_STRETCH = 10.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Resident memory of the server so many seconds after the start."""

    seconds: float
    resident_bytes: int


def soak(seconds: float, say: Callable[[str], None]) -> list[Sample]:
    """Create and gets at 70 % of what the service can do, on the double."""
    samples: list[Sample] = []
    with servers.double() as uri, servers.ours(uri) as target:
        rates = {}
        for rpc in ("create", "get"):
            full = load.run(Load(rpc, 16, seconds=3), target.port, target.names, target.process_id)
            rates[rpc] = full.requests / full.seconds * SHARE / 2
        say(", ".join(f"{rate:.0f} {rpc}/s" for rpc, rate in rates.items()))
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            stretch = min(_STRETCH, max(seconds - passed, 1.0))
            with ThreadPoolExecutor() as pool:
                parts = [
                    pool.submit(load.run, part, target.port, target.names, target.process_id)
                    for part in (Load(rpc, 8, seconds=stretch, rate=rate) for rpc, rate in rates.items())
                ]
            for part in parts:
                part.result()
            samples.append(Sample(time.monotonic() - began, resident_bytes(target.process_id)))
            say(f"{samples[-1].seconds:6.0f} s  {samples[-1].resident_bytes / 2**20:7.1f} MiB")
    return samples


def growth(samples: Sequence[Sample]) -> float:
    """MB a minute that memory grew by, once settled."""
    settled = samples[int(len(samples) * _SETTLING) :]
    return slope([(sample.seconds / 60, sample.resident_bytes / 1e6) for sample in settled])


def text(samples: Sequence[Sample]) -> str:
    """Return the result as a sentence."""
    last = samples[-1]
    return (
        f"After {last.seconds / 60:.1f} minutes at {SHARE:.0%} load {last.resident_bytes / 1e6:.0f} MB resident, "
        f"growing by {growth(samples):.2f} MB a minute once settled."
    )
