"""Checks the database in the background: by a journalled write that is read back, and by the driver's monitoring.

A ping is not enough: on a full disk a server answers pings and refuses writes. A write alone notices an unreachable
server too late, so the driver's topology is checked ten times a second.

    serving       the last journalled write was read back
    failing       a server is reachable, but the write fails or times out: not ready, calls may still try
    unreachable   no writable server is known: not ready, calls are refused immediately
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from pymongo.errors import DuplicateKeyError, PyMongoError

from event_service.errors import EventServiceError, Unavailable
from event_service.store.client import Database, time_limit
from event_service.store.database_clock import TOLERATED_SKEW, DatabaseClock

log = logging.getLogger(__name__)

COLLECTION = "health"

# Seconds.
_TOPOLOGY_INTERVAL = 0.1
_WRITE_INTERVAL = 1.0
_WRITE_INTERVAL_WHILE_FAILING = 0.25
_WRITE_TIMEOUT = 0.8  # of a write and its read
_UNREACHABLE_AFTER = 0.2  # the driver's retries cover shorter interruptions


class State(StrEnum):
    """State of the database."""

    STARTING = "starting"
    SERVING = "serving"
    FAILING = "failing"
    UNREACHABLE = "unreachable"


_LOG_MESSAGES = {
    State.SERVING: "the database accepts writes again",
    State.FAILING: "the database is reachable, but does not accept writes",
    State.UNREACHABLE: "the database is unreachable",
}


class Suspendable(Protocol):
    """Refuses work while the database is unreachable. Implemented by `ThreadPool` and `GroupCommit`."""

    def suspend(self, error: EventServiceError) -> None: ...
    def resume(self) -> None: ...


class HealthCheck:
    """Checks one database for one event loop.

    Args:
        clock: measured before each write.
        on_change: called in the event loop with whether the database is serving: after the first check, and at changes.
        suspendables: suspended while the database is unreachable, so that every call fails immediately.
        last_success: returns when any journalled write last succeeded, in seconds of `time.monotonic`. A health check
            that times out only because the database is busy then changes nothing.
    """

    def __init__(
        self,
        database: Database,
        clock: DatabaseClock,
        *,
        on_change: Callable[[bool], None] = lambda _: None,
        suspendables: Sequence[Suspendable] = (),
        last_success: Callable[[], float] = lambda: float("-inf"),
    ) -> None:
        self._database = database
        self._clock = clock
        self._on_change = on_change
        self._suspendables = suspendables
        self._state = State.STARTING
        self._last_success = last_success
        self._skewed = False
        self._stopping = threading.Event()
        self._checked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._confirmed_at = datetime.fromtimestamp(0, UTC)
        self._write_soon = threading.Event()
        self._state_lock = threading.Lock()
        # Two threads: a write that hangs must not delay the check of the topology.
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._watch_topology, "health-topology"), (self._write_regularly, "health-write"))
        ]

    @property
    def state(self) -> State:
        """Return the result of the last check."""
        return self._state

    @property
    def serving(self) -> bool:
        return self._state is State.SERVING

    @property
    def confirmed_at(self) -> datetime:
        """Return when the last successful write began. A majority has all writes that the primary had by then."""
        return self._confirmed_at

    async def start(self) -> None:
        """Start checking, and return after the first check."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()
        await self._checked.wait()

    async def stop(self, seconds: float = 2 * _WRITE_TIMEOUT) -> None:
        """Stop checking. The state does not change any more.

        Args:
            seconds: how long to wait for a check in flight, which ends by itself.
        """
        self._stopping.set()
        self._write_soon.set()
        if self._loop is not None:
            deadline = time.monotonic() + seconds
            for thread in self._threads:
                await asyncio.to_thread(thread.join, max(deadline - time.monotonic(), 0.0))

    def _watch_topology(self) -> None:
        unreachable_since: float | None = None
        while not self._stopping.wait(_TOPOLOGY_INTERVAL):
            if self._database.client.topology_description.has_writable_server():
                unreachable_since = None
                if self._state is State.UNREACHABLE:
                    self._become(State.FAILING)  # calls may try; ready after the first write
                    self._write_soon.set()
            elif self._state is not State.STARTING:  # the driver connects with the first operation
                unreachable_since = unreachable_since if unreachable_since is not None else time.monotonic()
                if time.monotonic() - unreachable_since >= _UNREACHABLE_AFTER:
                    self._become(State.UNREACHABLE)

    def _write_regularly(self) -> None:
        while not self._stopping.is_set():
            if self._state is not State.UNREACHABLE:
                self._become(self._write(), unless=State.UNREACHABLE)
            self._write_soon.wait(_WRITE_INTERVAL if self._state is State.SERVING else _WRITE_INTERVAL_WHILE_FAILING)
            self._write_soon.clear()

    def _write(self) -> State:
        started = time.monotonic()
        health = self._database[COLLECTION]
        try:
            with time_limit(_WRITE_TIMEOUT):
                self._measure_clock()
                at = self._clock()
                matching, values = {"_id": "health_check"}, {"$set": {"at": at}}
                try:
                    health.update_one(matching, values, upsert=True)
                except DuplicateKeyError:  # another replica inserted it first: a refused insert proves no majority
                    health.update_one(matching, values)
                health.find_one(matching)
        except PyMongoError as error:
            if self._stopping.is_set():
                return self._state
            if self._last_success() >= started - _WRITE_INTERVAL and self._state is State.SERVING:
                return State.SERVING
            if self._state is not State.FAILING:
                log.warning("a journalled write failed", extra={"reason": str(error).partition(" (configured")[0]})
            return State.FAILING
        self._confirmed_at = at
        return State.SERVING

    def _measure_clock(self) -> None:
        self._clock.measure(self._database)
        skew = self._clock.skew
        if self._skewed != (abs(skew) > TOLERATED_SKEW):
            self._skewed = not self._skewed
            if self._skewed:
                log.warning(
                    "this machine's clock differs from the database's; synchronise both",
                    extra={"seconds_ahead": round(skew.total_seconds(), 1)},
                )
            else:
                log.info("this machine's clock agrees with the database's again")

    def _become(self, state: State, *, unless: State | None = None) -> None:
        with self._state_lock:
            before = self._state
            if state is before or before is unless or self._loop is None:
                return
            self._state = state
            if before is not State.STARTING or state is not State.SERVING:
                log.log(logging.INFO if state is State.SERVING else logging.WARNING, _LOG_MESSAGES[state])
            try:
                self._loop.call_soon_threadsafe(self._notify, before, state)
            except RuntimeError:  # the loop was closed meanwhile
                self._stopping.set()

    def _notify(self, before: State, state: State) -> None:
        """Suspend or resume, and call `on_change`; runs in the event loop."""
        self._checked.set()
        for suspendable in self._suspendables:
            if state is State.UNREACHABLE:
                suspendable.suspend(Unavailable())
            elif before is State.UNREACHABLE:
                suspendable.resume()
        if before is State.STARTING or State.SERVING in (before, state):
            self._on_change(state is State.SERVING)
