"""Patterns for a server that matches by Python's `re`, which backtracks without any limit: the embedded database.

What `regex_rule` lets through cannot explode, but it can grow with a power of the text: `a.*b.*c.*d.*e` tries every
`a` with every `b`, and so on, hours for a long text, and nothing else is answered meanwhile. Here such patterns are
put so that the time per character of the text is bounded:

- Parts between `.*` are looked for one after the other, from the start of each line, and none of them is given up
  for a later one: if what follows can be found after a later one, it can be found after the first. This changes
  nothing about what matches.
- Any other repeat that would go over the same characters again and again, like that of `a\\w*b` in a word of many
  `a`, gets an end: far out where there is one of them, nearer where there are more, since their lengths are tried in
  all combinations. What repeats longer than that is not found.

MongoDB needs none of this: PCRE counts its steps and gives up.
"""

import re
from functools import lru_cache
from itertools import product
from typing import TypeAlias

from event_service.query.regex_rule import MAX_WAYS, ways
from event_service.query.regex_tree import NO_WIDTH, Item, Sequence, parse

STEPS = MAX_WAYS
"""What may be tried for one character of a text; Python tries some 50 million a second."""

LONGEST = 1000
"""The longest repeat that is looked for, where there is but one."""

BEYOND = -1
"""Stands for all characters beyond ASCII."""

Characters: TypeAlias = frozenset[int]

_WITH_OTHER_CASES = frozenset(map(ord, "iIkKsS"))
_MOST_VARIANTS = 32
_MOST_CHARACTERS = 600  # of a rewritten part: the embedded database takes patterns of up to 1000


@lru_cache(maxsize=256)
def bounded(pattern: str) -> str:
    """A pattern that takes at most about `STEPS` for each character of the text.

    Args:
        pattern: let through by `regex_rule.checked_pattern`, for texts in any case (`re.IGNORECASE`).
    """
    alternatives = parse(pattern)
    if not any(_repeats(sequence) for sequence in alternatives):
        return pattern
    tried = ways(pattern)
    return "|".join(_without_return(sequence) or _with_ends(sequence, tried) for sequence in alternatives)


def longest_repeat(number: int, tried: int = 1) -> int:
    """How long each of `number` repeats in a row may be, so that all combinations of their lengths stay few.

    Args:
        tried: ways to match what else is in the pattern.
    """
    return min(LONGEST, max(4, int((STEPS / tried) ** (1 / number))))


# --- parts with anything between them ---------------------------------------------------------------------------


def _without_return(sequence: Sequence) -> str:
    """The parts between `.*`, each looked for once; "" where a part may end in more than one place."""
    if not any(_is_anything(item) for item in sequence):
        return ""
    anchored = bool(sequence) and sequence[0].text in {"^", "\\A"}
    parts: list[tuple[str, Sequence]] = [("", ())]
    for item in sequence[1:] if anchored else sequence:
        if _is_anything(item):
            parts.append((f".{{{item.least},}}?" if item.least else ".*?", ()))
        else:
            parts[-1] = (parts[-1][0], (*parts[-1][1], item))
    if not anchored:  # from the start of a line to the first part is anything, too
        parts[0] = (".*?", parts[0][1])
    written = []
    for number, (distance, items) in enumerate(parts):
        part = _part(items, last=number == len(parts) - 1)
        if part is None:
            return ""
        written.append(f"(?>{distance}{part})")
    return ("^" if anchored else "(?m:^)") + "".join(written)


def _part(items: Sequence, *, last: bool) -> str | None:
    """A part with its shortest variant first; None where one variant could hide in another, or cross a line."""
    end = ""
    if last and items and items[-1].text == "$":
        items, end = items[:-1], "$"
    variants = _variants(items)
    if variants is None or any(_may_hold_newline(atom) for variant in variants for atom in variant):
        return None
    variants.sort(key=_width)
    for number, longer in enumerate(variants):
        if any(_hides(shorter, longer) for shorter in variants[:number]):
            return None
    text = "|".join("".join(variant) for variant in variants)
    if len(text) > _MOST_CHARACTERS:
        return None
    return (f"(?:{text})" if len(variants) > 1 else text) + end


def _variants(items: Sequence) -> list[tuple[str, ...]] | None:
    """Every way to write a sequence without repeats and alternatives; None for too many."""
    found: list[tuple[str, ...]] = [()]
    for item in items:
        once = _variants_of(item)
        if once is None or item.most is None:
            return None
        repeated: list[tuple[str, ...]] = []
        for count in range(item.least, item.most + 1):
            if len(once) ** count > _MOST_VARIANTS or count * max(map(len, once)) > _MOST_CHARACTERS:
                return None
            repeated += [sum(several, ()) for several in product(once, repeat=count)]
        found = [before + after for before in found for after in repeated]
        if len(found) > _MOST_VARIANTS:
            return None
    return list(dict.fromkeys(found))


def _variants_of(item: Item) -> list[tuple[str, ...]] | None:
    if item.alternatives is None:
        if item.text in {"^", "$", "\\A"}:
            return None
        # Beside other neighbours than before, a brace could begin a repeat.
        return [("\\{" if item.text == "{" else item.text,)]
    found: list[tuple[str, ...]] = []
    for sequence in item.alternatives:
        variants = _variants(sequence)
        if variants is None:
            return None
        found += variants
    return found


def _width(variant: tuple[str, ...]) -> int:
    return sum(atom not in NO_WIDTH for atom in variant)


def _hides(shorter: tuple[str, ...], longer: tuple[str, ...]) -> bool:
    """Whether the shorter one may be found inside of the longer, begin later, and end earlier."""
    if not shorter:  # is found wherever the longer one is
        return False
    inner = [atom for atom in shorter if atom not in NO_WIDTH]
    outer = [atom for atom in longer if atom not in NO_WIDTH]
    return any(
        all(_may_be_equal(one, other) for one, other in zip(inner, outer[offset:], strict=False))
        for offset in range(1, len(outer) - len(inner))
    )


def _may_be_equal(one: str, other: str) -> bool:
    both_letters = len(one) == 1 and len(other) == 1 and "." not in {one, other}
    # Letters beyond ASCII have more than one other case: they may be equal to anything.
    return not (both_letters and one.isascii() and other.isascii()) or one.lower() == other.lower()


def _may_hold_newline(atom: str) -> bool:
    return atom not in NO_WIDTH and re.fullmatch(atom, "\n") is not None


def _is_anything(item: Item) -> bool:
    return item.text == "." and item.most is None


# --- repeats with an end ----------------------------------------------------------------------------------------


def _with_ends(sequence: Sequence, tried: int) -> str:
    number = sum(_retried(sequence).values())
    return _written(sequence, longest_repeat(number, tried)) if number else _plain(sequence)


def _retried(sequence: Sequence) -> dict[int, int]:
    """The repeats that can be begun at several places of one run of their characters, each time to its end.

    That is not so where something stands before the repeat that cannot be in such a run: `-\\w*` goes over each
    run once, `a\\w*` once for each of its `a`.

    Returns:
        by position in the sequence: 1, or how many repeats there are in the group at that position.
    """
    found: dict[int, int] = {}
    before: list[Characters] = []
    for position, item in enumerate(sequence):
        if item.most is None:
            own = _characters_of(item)
            if not any(each.isdisjoint(own) for each in before):
                found[position] = 1
            before = [own] if item.least else []
        elif item.alternatives is not None:
            inner = sum(_repeats(alternative) for alternative in item.alternatives) * item.most
            if inner:
                found[position] = inner
        elif item.least and (item.text not in NO_WIDTH or item.text in {"^", "\\A"}):
            before.append(characters(item.text))
    return found


def _repeats(sequence: Sequence) -> int:
    """The repeats without an end, one inside a counted repeat as often as that may repeat it."""
    number = 0
    for item in sequence:
        inner = sum(_repeats(alternative) for alternative in item.alternatives or ())
        number += 1 if item.most is None else inner * item.most
    return number


def _written(sequence: Sequence, longest: int) -> str:
    pieces = []
    retried = _retried(sequence)
    for position, item in enumerate(sequence):
        if position not in retried:
            pieces.append(item.written)
        elif item.most is None:
            pieces.append(f"{item.text}{{{item.least},{max(item.least, longest)}}}")
        else:
            inner = "|".join(_limited(alternative, longest) for alternative in item.alternatives or ())
            pieces.append(f"(?:{inner}){item.repeat}")
    return "".join(pieces)


def _limited(sequence: Sequence, longest: int) -> str:
    """The sequence with an end to every repeat."""
    pieces = []
    for item in sequence:
        if item.most is None:
            pieces.append(f"{item.text}{{{item.least},{max(item.least, longest)}}}")
        elif item.alternatives is not None:
            inner = "|".join(_limited(alternative, longest) for alternative in item.alternatives)
            pieces.append(f"(?:{inner}){item.repeat}")
        else:
            pieces.append(item.written)
    return "".join(pieces)


def _plain(sequence: Sequence) -> str:
    return "".join(item.written for item in sequence)


def _characters_of(item: Item) -> Characters:
    if item.alternatives is None:
        return characters(item.text)
    return frozenset().union(*(_characters_of(each) for sequence in item.alternatives for each in sequence))


@lru_cache(maxsize=1024)
def characters(atom: str) -> Characters:
    """What a character, class or escape may match: ASCII characters by code, and BEYOND for any other one."""
    if atom in NO_WIDTH:
        return frozenset()
    matches = re.compile(atom, re.IGNORECASE).fullmatch
    found = frozenset(code for code in range(128) if matches(chr(code)))
    # A class of ASCII letters alone may match others: the sign of Kelvin is a K, a long s an S.
    plain = atom.isascii() and ((len(atom) == 1 and atom != ".") or (atom[0] == "[" and not set("^\\") & set(atom)))
    return found if plain and not found & _WITH_OTHER_CASES else found | {BEYOND}
