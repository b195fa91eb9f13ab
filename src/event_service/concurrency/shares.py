"""Divide a resource between keys so that one that takes all it can get leaves room for the others.

A key may take only what leaves as much free as it holds (the dynamic thresholds of Choudhury and Hahne, 1998): one
alone gets half of the total, the next one half of the rest, and as units are given back each of n gets one part in
n + 1. So the total is twice what one key may need.
"""

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager


class Shares:
    """The share of a resource that each key holds. Not thread-safe.

    Args:
        total: units, twice what one key alone may hold; infinite = only count.
    """

    def __init__(self, total: float = float("inf")) -> None:
        self._total = total
        self._held: dict[Hashable, int] = {}
        self._used = 0

    @property
    def used(self) -> int:
        """Units that all keys hold."""
        return self._used

    @property
    def held(self) -> Mapping[Hashable, int]:
        """Units of each key that holds any."""
        return self._held

    def fits(self, key: Hashable, amount: int = 1) -> bool:
        """Return whether the key may take that much now."""
        # Plus one, so that a key may take the last of an odd number, or the only one.
        return self._held.get(key, 0) + 2 * amount <= self._total - self._used + 1

    def take(self, key: Hashable, amount: int = 1) -> None:
        """Count what a key takes, whether or not it fits."""
        self._held[key] = self._held.get(key, 0) + amount
        self._used += amount

    def give_back(self, key: Hashable, amount: int = 1) -> None:
        """Count what a key gives back."""
        left = self._held.get(key, 0) - amount
        if left:
            self._held[key] = left
        else:
            self._held.pop(key, None)
        self._used -= amount

    @contextmanager
    def taken(self, key: Hashable) -> Iterator[None]:
        """Hold one unit while the context is open."""
        self.take(key)
        try:
            yield
        finally:
            self.give_back(key)
