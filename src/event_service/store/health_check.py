"""Whether the store can really be used, looked at in the background: a journalled write, read back.

A ping is not enough: on a full disk a server may answer pings and refuse everything else. A write alone is too slow to
notice that the server has gone: what the driver's own monitoring knows is looked at ten times a second.

    serving   the last journalled write was read back
    failing   the server is there, but the write fails or takes too long: not ready, calls may still try
    away      no server that takes writes is known: not ready, and nobody is made to wait for a socket
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

log = logging.getLogger(__name__)

COLLECTION = "health"

_TICK = 0.1  # seconds between looks at the driver's monitoring
_EVERY = 1.0  # seconds between writes while all is well
_EVERY_WHILE_FAILING = 0.25
_LIMIT = 0.8  # seconds a write and its reading may take
_AWAY_AFTER = 0.2  # seconds: an interruption as short as this is the driver's to mend


class State(StrEnum):
    """How the store is."""

    STARTING = "starting"
    SERVING = "serving"
    FAILING = "failing"
    AWAY = "away"


_NEWS = {
    State.SERVING: "the database takes writes again",
    State.FAILING: "the database answers, but takes no writes",
    State.AWAY: "the database is away",
}


class Suspendable(Protocol):
    """What is closed while the database is away: `ThreadPool`, `GroupCommit`."""

    def suspend(self, error: EventServiceError) -> None: ...
    def resume(self) -> None: ...


class HealthCheck:
    """Watches one database for one event loop.

    Args:
        on_change: told, in the event loop, whether the store is serving: at the first look, and at every change.
        gates: suspended while the database is away, so that every call is answered at once.
        last_success: when anybody's journalled write has last succeeded, in seconds of `time.monotonic`. A probe that is
            slow because the database is busy then says nothing against the database.
    """

    def __init__(
        self,
        database: Database,
        *,
        on_change: Callable[[bool], None] = lambda _: None,
        gates: Sequence[Suspendable] = (),
        last_success: Callable[[], float] = lambda: float("-inf"),
    ) -> None:
        self._database = database
        self._on_change = on_change
        self._gates = gates
        self._state = State.STARTING
        self._last_success = last_success
        self._stopping = threading.Event()
        self._looked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._confirmed_at = datetime.fromtimestamp(0, UTC)
        self._hurry = threading.Event()
        self._changing = threading.Lock()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._watch, "store-watch"), (self._write, "store-probe"))
        ]

    @property
    def state(self) -> State:
        """What the last look has found."""
        return self._state

    @property
    def serving(self) -> bool:
        return self._state is State.SERVING

    @property
    def confirmed_at(self) -> datetime:
        """When the last write began that a majority has confirmed, and with it all that the primary had by then."""
        return self._confirmed_at

    async def start(self) -> None:
        """Begins to watch; returns after the first look."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()
        await self._looked.wait()

    async def stop(self, seconds: float = 2 * _LIMIT) -> None:
        """Ends watching. The state stays what it was.

        Args:
            seconds: how long to wait for a look that is under way; it ends by itself.
        """
        self._stopping.set()
        self._hurry.set()
        if self._loop is not None:
            give_up_at = time.monotonic() + seconds
            for thread in self._threads:
                await asyncio.to_thread(thread.join, max(give_up_at - time.monotonic(), 0.0))

    # --- in two threads: a write that hangs must not keep anybody from seeing that the server has gone ---------

    def _watch(self) -> None:
        away_since: float | None = None
        while not self._stopping.wait(_TICK):
            if self._database.client.topology_description.has_writable_server():
                away_since = None
                if self._state is State.AWAY:
                    self._become(State.FAILING)  # it may be tried; ready once a write succeeds
                    self._hurry.set()
            elif self._state is not State.STARTING:  # the driver connects with the first operation
                away_since = away_since if away_since is not None else time.monotonic()
                if time.monotonic() - away_since >= _AWAY_AFTER:
                    self._become(State.AWAY)

    def _write(self) -> None:
        while not self._stopping.is_set():
            if self._state is not State.AWAY:
                self._become(self._try(), unless=State.AWAY)
            self._hurry.wait(_EVERY if self._state is State.SERVING else _EVERY_WHILE_FAILING)
            self._hurry.clear()

    def _try(self) -> State:
        started = time.monotonic()
        health = self._database[COLLECTION]
        try:
            with time_limit(_LIMIT):
                at = datetime.now(UTC)
                wanted, values = {"_id": "probe"}, {"$set": {"at": at}}
                try:
                    health.update_one(wanted, values, upsert=True)
                except DuplicateKeyError:  # another replica made it at the same moment; that tells of no majority
                    health.update_one(wanted, values)
                health.find_one(wanted)
        except PyMongoError as error:
            if self._stopping.is_set():
                return self._state
            if self._last_success() >= started - _EVERY and self._state is State.SERVING:
                return State.SERVING
            if self._state is not State.FAILING:
                log.warning("a journalled write fails", extra={"reason": str(error).partition(" (configured")[0]})
            return State.FAILING
        self._confirmed_at = at
        return State.SERVING

    def _become(self, state: State, *, unless: State | None = None) -> None:
        with self._changing:
            before = self._state
            if state is before or before is unless or self._loop is None:
                return
            self._state = state
            if before is not State.STARTING or state is not State.SERVING:
                log.log(logging.INFO if state is State.SERVING else logging.WARNING, _NEWS[state])
            try:
                self._loop.call_soon_threadsafe(self._tell, before, state)
            except RuntimeError:  # the loop was closed meanwhile
                self._stopping.set()

    # --- in the event loop -----------------------------------------------------------------------------------

    def _tell(self, before: State, state: State) -> None:
        self._looked.set()
        for gate in self._gates:
            if state is State.AWAY:
                gate.suspend(Unavailable())
            elif before is State.AWAY:
                gate.resume()
        if before is State.STARTING or State.SERVING in (before, state):
            self._on_change(state is State.SERVING)
