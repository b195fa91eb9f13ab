"""A regular expression that `regex_rule` has let through, taken apart.

Only what that rule allows is understood here: characters, escapes, classes, groups, alternatives and repeats.
"""

import re
from dataclasses import dataclass, field
from typing import TypeAlias

_QUANTIFIER = re.compile(r"(?:([*+?])|\{(\d{1,5})(?:(,)(\d{0,5}))?\})(\??)", re.ASCII)
_SIGNS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}

NO_WIDTH = frozenset({"^", "$", "\\b", "\\B", "\\A"})
"""What matches between two characters."""


@dataclass(frozen=True, slots=True)
class Item:
    """One character, class, anchor or group, and how often it is repeated.

    Attributes:
        text: as it is written, without the repeat; of a group, the whole of it.
        alternatives: what a group holds; None where it is no group.
        most: None for any number.
    """

    text: str
    alternatives: "tuple[Sequence, ...] | None" = None
    least: int = 1
    most: int | None = 1
    repeat: str = field(default="", compare=False)

    @property
    def written(self) -> str:
        """The item with its repeat, as in the pattern."""
        return self.text + self.repeat


Sequence: TypeAlias = tuple[Item, ...]


def parse(pattern: str) -> tuple[Sequence, ...]:
    """The alternatives of a pattern.

    Args:
        pattern: let through by `regex_rule.checked_pattern`.
    """
    alternatives, end = _alternatives(pattern, 0)
    if end != len(pattern):
        raise ValueError("not a pattern that the rule has let through")
    return alternatives


def _alternatives(pattern: str, position: int) -> tuple[tuple[Sequence, ...], int]:
    found: list[Sequence] = []
    while True:
        sequence, position = _sequence(pattern, position)
        found.append(sequence)
        if not pattern.startswith("|", position):
            return tuple(found), position
        position += 1


def _sequence(pattern: str, position: int) -> tuple[Sequence, int]:
    items: list[Item] = []
    while position < len(pattern) and pattern[position] not in "|)":
        start, inner = position, None
        if pattern[position] == "(":
            inner, position = _alternatives(pattern, position + (3 if pattern.startswith("(?:", position) else 1))
            position += 1
        else:
            position = _end_of_atom(pattern, position)
        text = pattern[start:position]
        repeat = _QUANTIFIER.match(pattern, position)
        if repeat is None:
            items.append(Item(text, inner))
            continue
        position = repeat.end()
        least, most = _bounds(repeat)
        items.append(Item(text, inner, least, most, repeat[0]))
    return tuple(items), position


def _bounds(repeat: "re.Match[str]") -> tuple[int, int | None]:
    if repeat[1]:
        return _SIGNS[repeat[1]]
    least = int(repeat[2])
    if not repeat[3]:
        return least, least
    return least, int(repeat[4]) if repeat[4] else None


def _end_of_atom(pattern: str, position: int) -> int:
    if pattern[position] == "\\":
        return position + (4 if pattern.startswith("x", position + 1) else 2)
    if pattern[position] != "[":
        return position + 1
    position += 2 if pattern.startswith("^", position + 1) else 1
    first = True
    while first or pattern[position] != "]":
        first = False
        position += 2 if pattern[position] == "\\" else 1
    return position + 1
