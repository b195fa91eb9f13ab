"""Queue that serves its keys in turn: start-time fair queueing (Goyal, Vin and Cheng, 1996).

Each key gets the same share of what is served while it has something waiting, measured by the items' costs. What one
key does not use the others get; a key that comes anew is served next, however much the others have waiting.
"""

from collections import deque
from collections.abc import Callable, Hashable
from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


class FairQueue(Generic[Key, Item]):
    """Items of each key in their order. Not thread-safe; never blocks."""

    def __init__(self) -> None:
        self._waiting: dict[Key, deque[tuple[Item, float]]] = {}
        # A heap with each key that waits: the virtual time of its next turn, a tie-breaker, the key.
        self._turns: list[tuple[float, int, Key]] = []
        self._paid: dict[Key, float] = {}  # virtual time until which a key has been served
        self._now = 0.0
        self._numbers = count()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, key: Key, item: Item, cost: float = 1.0) -> None:
        """Append an item to those of its key."""
        self._of(key).append((item, cost))

    def put_back(self, key: Key, item: Item, cost: float = 1.0) -> None:
        """Put an item before the others of its key, which pays for it again."""
        self._of(key).appendleft((item, cost))

    def peek(self) -> Item:
        """Return the item that `get` would, of a queue that is not empty."""
        return self._waiting[self._turns[0][2]][0][0]

    def get(self, allowed: Callable[[Key], bool] = lambda _: True) -> tuple[Key, Item] | None:
        """Return the next key and item; None if no allowed key has one."""
        skipped = []
        found = None
        while self._turns and found is None:
            turn = heappop(self._turns)
            if allowed(turn[2]):
                found = turn
            else:
                skipped.append(turn)
        for turn in skipped:
            heappush(self._turns, turn)
        if found is None:
            return None
        start, _, key = found
        waiting = self._waiting[key]
        item, cost = waiting.popleft()
        self._now = max(self._now, start)
        self._paid[key] = start + cost
        if waiting:
            self._enter(key)
        else:
            del self._waiting[key]
            if not self._waiting:  # without waiting keys there is no order to keep
                self._paid.clear()
                self._now = 0.0
        return key, item

    def _of(self, key: Key) -> deque[tuple[Item, float]]:
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = deque()
            self._enter(key)
        return waiting

    def _enter(self, key: Key) -> None:
        heappush(self._turns, (max(self._now, self._paid.get(key, 0.0)), next(self._numbers), key))
