"""The metrics of all processes of one service on one page (EVENT_SERVICE_PROCESSES).

Any of them may be asked by Prometheus, and asks the others over Unix sockets. Each sample has the label `process`, so
that rates stay right when a process is replaced and its counters begin at 0 again: `sum(rate(...))`.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import Metric

LABEL = "process"

SECONDS = 2.0
"""A process that does not answer in this time is left out."""

_log = logging.getLogger(__name__)


class Siblings:
    """The processes of one service, as one of them sees them.

    Args:
        directory: of the sockets, accessible to this user only.
        number: of this process.
        collect: returns the metrics of this process.
    """

    def __init__(self, directory: Path, number: int, collect: Callable[[], Iterable[Metric]]) -> None:
        self._directory = directory
        self._socket = directory / f"{number}.sock"
        self._number = number
        self._collect = collect
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Answer the other processes.

        Raises:
            OSError: the directory is not usable.
        """
        self._socket.unlink(missing_ok=True)  # of a process that was killed
        self._server = await asyncio.start_unix_server(self._answer, self._socket)

    async def stop(self) -> None:
        """Answer no longer."""
        if self._server is not None:
            self._server.close()
            self._socket.unlink(missing_ok=True)

    async def collect(self) -> list[Metric]:
        """Return the metrics of all processes, each sample with the number of its process."""
        others = [path for path in self._directory.glob("*.sock") if path != self._socket]
        replies = await asyncio.gather(*map(self._ask, others))
        return _merged([_dump(self._number, self._collect()), *replies])

    async def _answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):  # it no longer waits for the answer
            writer.write(json.dumps(_dump(self._number, self._collect())).encode())
            await writer.drain()

    async def _ask(self, path: Path) -> list[Any]:
        try:
            async with asyncio.timeout(SECONDS):
                reader, writer = await asyncio.open_unix_connection(path)
                try:
                    return list(json.loads(await reader.read()))
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError) as error:
            _log.info("a process does not tell its metrics", extra={"socket": path.name, "reason": str(error)})
            return []


def _dump(number: int, metrics: Iterable[Metric]) -> list[Any]:
    return [
        (
            (metric.name, metric.documentation, metric.type, metric.unit),
            [(sample.name, {**sample.labels, LABEL: str(number)}, sample.value) for sample in metric.samples],
        )
        for metric in metrics
    ]


def _merged(dumps: Sequence[list[Any]]) -> list[Metric]:
    found: dict[str, Metric] = {}
    for about, samples in (family for dump in dumps for family in dump):
        metric = found.setdefault(about[0], Metric(*about))
        for name, labels, value in samples:
            metric.add_sample(name, labels, value)
    return list(found.values())
