"""One of several processes that serve the same ports (EVENT_SERVICE_PROCESSES), as its parent describes it to it."""

import json
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass

VARIABLE = "_EVENT_SERVICE_WORKER"  # not a setting: only the parent sets it


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker gets from its parent.

    Attributes:
        number: from 0; a worker that replaces another has the same.
        grpc_address, http_address: HOST:PORT, never with port 0.
        mongodb_uri: of the parent's embedded database; "" without one.
        directory: of the sockets on which workers ask each other for metrics.
        control: file descriptor of a socket to the parent.
    """

    number: int
    grpc_address: str
    http_address: str
    mongodb_uri: str
    directory: str
    control: int

    @classmethod
    def of_this_process(cls) -> "Worker | None":
        """Return the worker that this process is, or None if it has no parent."""
        text = os.environ.pop(VARIABLE, "")  # popped: not for the programs that it starts
        return cls(**json.loads(text)) if text else None

    def environment(self) -> Mapping[str, str]:
        """Return the environment variable that describes this worker to itself."""
        return {VARIABLE: json.dumps(asdict(self))}

    def overrides(self) -> dict[str, str]:
        """Return the settings of a worker that differ from its parent's."""
        return {"grpc_address": self.grpc_address, "http_address": self.http_address}

    def announce(self, grpc: str, http: str) -> None:
        """Tell the parent that this worker serves, and its addresses as `app.Addresses` has them."""
        os.write(self.control, json.dumps([grpc, http]).encode())

    def die_with_parent(self) -> None:
        """End this process at once if its parent ends: the embedded database has ended too, and the ports are free for
        the next start. Every acknowledged event is stored.
        """
        threading.Thread(target=self._wait_for_end, name="parent", daemon=True).start()

    def _wait_for_end(self) -> None:
        os.read(self.control, 1)  # the parent sends nothing: it has ended
        os._exit(1)


def process_count(configured: int) -> int:
    """Return the number of processes to start: for 0, the number of cores that this process may use."""
    if configured:
        return configured
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
