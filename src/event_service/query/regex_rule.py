"""Check regular expressions: allow those with one meaning in every engine and bounded backtracking.

MongoDB matches by backtracking (PCRE): a bad pattern uses up its limit of steps for each text. The parser here refuses
all but these patterns:

- at most 512 characters, without backreferences, lookaround, flags, named groups, possessive or atomic forms, and
  without escapes that PCRE, RE2 and Python interpret differently;
- at most 5 unbounded repeats (`*`, `+`, `{n,}`), each of a character, a class, or a group without repeats and
  alternatives; inside a bounded repeat each counts as often as that may repeat it;
- at most 50,000 combinations of optional parts, counted parts and alternatives.
"""

from dataclasses import dataclass

MAX_LENGTH = 512
MAX_UNBOUNDED = 5
MAX_COUNT = 1000
"""RE2's limit of counted repeats; nested ones multiply."""
MAX_WAYS = 50_000
_MAX_NESTING = 50

_SAME_EVERYWHERE = frozenset("dDwWsSbBAtnrf")
_NOT_REPEATABLE = frozenset("bBA")
_CLASS_ESCAPES = frozenset("dDwWsStnrf")
_SETS = frozenset("dDwWsS")
_HEX = frozenset("0123456789abcdefABCDEF")


class PatternFault(ValueError):
    """The reason why a pattern is refused."""


@dataclass(slots=True)
class _Cost:
    """The cost of a part of a pattern to a backtracking matcher.

    Attributes:
        ways: upper bound of the ways to match it; unbounded repeats count once.
        unbounded: its unbounded repeats, multiplied by the bounded repeats around them.
        count: product of nested counted repeats.
        branches: it contains a repeat or alternatives.
        empty: it can match nothing.
    """

    ways: int = 1
    unbounded: int = 0
    count: int = 1
    branches: bool = False
    empty: bool = False


@dataclass(frozen=True, slots=True)
class _Repeat:
    """An unbounded repeat of pattern[start:middle], at least `least` times, written up to `end`."""

    start: int
    middle: int
    end: int
    least: int


def checked_pattern(pattern: str) -> str:
    """Return a pattern that matches the same texts as the given one at less cost to a backtracking matcher.

    A search only needs to know whether there is a match. So a repeat at either end is reduced to its minimum, and
    adjacent equal repeats (`a*a*a*b`, which backtracks over every division) are merged.

    Raises:
        PatternFault: the pattern is invalid, ambiguous between engines, or may backtrack without bound.
    """
    if len(pattern) > MAX_LENGTH:
        raise PatternFault(f"longer than {MAX_LENGTH} characters")
    if "\0" in pattern:
        raise PatternFault("contains NUL")
    parser = _Parser(pattern)
    parser.alternatives(0)
    if parser.position < len(pattern):
        raise PatternFault("a ')' without '('")
    return _simplified(pattern, parser.repeats, ends=not parser.has_top_level_alternatives)


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.position = 0
        self.repeats: list[_Repeat] = []
        self.has_top_level_alternatives = False

    def alternatives(self, nesting: int) -> _Cost:
        if nesting > _MAX_NESTING:
            raise PatternFault(f"groups nested deeper than {_MAX_NESTING}")
        total = self._sequence(nesting)
        while self._next_is("|"):
            self.position += 1
            self.has_top_level_alternatives |= nesting == 0
            other = self._sequence(nesting)
            total = _Cost(
                ways=total.ways + other.ways,
                unbounded=total.unbounded + other.unbounded,
                count=max(total.count, other.count),
                branches=True,
                empty=total.empty or other.empty,
            )
            _within_bounds(total)
        return total

    def _sequence(self, nesting: int) -> _Cost:
        total = _Cost(empty=True)
        while self.position < len(self.pattern) and self.pattern[self.position] not in "|)":
            start = self.position
            part, repeatable = self._atom(nesting)
            part = self._repeated(part, repeatable, start)
            total = _Cost(
                ways=total.ways * part.ways,
                unbounded=total.unbounded + part.unbounded,
                count=max(total.count, part.count),
                branches=total.branches or part.branches,
                empty=total.empty and part.empty,
            )
            _within_bounds(total)
        return total

    def _atom(self, nesting: int) -> tuple[_Cost, bool]:
        """Read one character, class, group or anchor; return also whether it can be repeated."""
        character = self.pattern[self.position]
        if character in "*+?" or self._count_ahead():
            raise PatternFault(f"{character!r} has nothing to repeat")
        self.position += 1
        if character in "^$":
            return _Cost(empty=True), False
        if character == "(":
            return self._group(nesting), True
        if character == "[":
            self._class()
            return _Cost(), True
        if character == "\\":
            return self._escape()
        return _Cost(), True

    def _group(self, nesting: int) -> _Cost:
        if self._next_is("?"):
            if not self.pattern.startswith("?:", self.position):
                raise PatternFault("of the groups that start with '(?' only '(?:' is supported")
            self.position += 2
        inner = self.alternatives(nesting + 1)
        if not self._next_is(")"):
            raise PatternFault("a '(' without ')'")
        self.position += 1
        return inner

    def _escape(self) -> tuple[_Cost, bool]:
        if self.position >= len(self.pattern):
            raise PatternFault("ends in a backslash")
        character = self.pattern[self.position]
        self.position += 1
        if character in _NOT_REPEATABLE:
            return _Cost(empty=True), False
        if character == "x":
            self._hexadecimal()
        elif character not in _SAME_EVERYWHERE and not _is_punctuation(character):
            raise PatternFault(f"'\\{character}' has different meanings in different engines")
        return _Cost(), True

    def _class(self) -> None:
        if self._next_is("^"):
            self.position += 1
        first = True
        while True:
            if self.position >= len(self.pattern):
                raise PatternFault("a '[' without ']'")
            if self._next_is("]") and not first:
                self.position += 1
                return
            low = self._class_member()
            first = False
            if self._next_is("-") and not self.pattern.startswith("-]", self.position):
                self.position += 1
                if self.position >= len(self.pattern):
                    raise PatternFault("a '[' without ']'")
                high = self._class_member()
                if low is None or high is None or low > high:
                    raise PatternFault("a range in a class with its ends exchanged")

    def _class_member(self) -> str | None:
        """Read one member of a class: a character, or None for a set such as \\d."""
        character = self.pattern[self.position]
        if character == "[" and self.pattern[self.position + 1 : self.position + 2] in {":", ".", "="}:
            raise PatternFault("POSIX classes such as [:alpha:] are not supported")
        if character in "-&~|" and self.pattern.startswith(character * 2, self.position):
            raise PatternFault(f"{character * 2!r} in a class")
        self.position += 1
        if character != "\\":
            return character
        if self.position >= len(self.pattern):
            raise PatternFault("a '[' without ']'")
        escaped = self.pattern[self.position]
        self.position += 1
        if escaped == "x":
            return chr(int(self._hexadecimal(), 16))
        if escaped in _SETS:
            return None
        if escaped in _CLASS_ESCAPES:
            return {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}[escaped]
        if not _is_punctuation(escaped):
            raise PatternFault(f"'\\{escaped}' in a class has different meanings in different engines")
        return escaped

    def _hexadecimal(self) -> str:
        digits = self.pattern[self.position : self.position + 2]
        if len(digits) != 2 or not set(digits) <= _HEX:
            raise PatternFault("'\\x' needs two hexadecimal digits")
        self.position += 2
        return digits

    def _repeated(self, part: _Cost, repeatable: bool, start: int) -> _Cost:
        middle = self.position
        bounds = self._quantifier()
        if bounds is None:
            return part
        if not repeatable:
            raise PatternFault("an anchor cannot be repeated")
        if self._next_is("?"):  # lazy; the set of matches is the same
            self.position += 1
        if self._next_is("+") or self._next_is("*") or self._next_is("?") or self._count_ahead():
            raise PatternFault("a repeat of a repeat")
        least, most = bounds
        if most is None:
            self.repeats.append(_Repeat(start, middle, self.position, least))
            return _repeated_without_end(part, least)
        return _repeated_up_to(part, least, most)

    def _quantifier(self) -> tuple[int, int | None] | None:
        if self.position >= len(self.pattern):
            return None
        character = self.pattern[self.position]
        if character in "*+?":
            self.position += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[character]
        if character != "{":
            return None
        ahead = self._count_ahead()
        if ahead is None:
            return None
        least, most, self.position = ahead
        if most is not None and most < least:
            raise PatternFault("a counted repeat with its bounds exchanged")
        return least, most

    def _count_ahead(self) -> tuple[int, int | None, int] | None:
        """Return the bounds of `{n}`, `{n,}` or `{n,m}` at the position, and its end; None if '{' is a literal."""
        if not self._next_is("{"):
            return None
        end = self.pattern.find("}", self.position)
        body = self.pattern[self.position + 1 : end] if end > 0 else ""
        least, comma, most = body.partition(",")
        if not least and comma and most.isdigit():
            raise PatternFault("'{,n}' has different meanings in different engines")
        if not (least.isascii() and least.isdigit() and (not most or (most.isascii() and most.isdigit()))):
            return None
        if max(len(least), len(most)) > 5 or int(least) > MAX_COUNT or int(most or 0) > MAX_COUNT:
            raise PatternFault(f"a counted repeat of more than {MAX_COUNT}")
        if not comma:
            return int(least), int(least), end + 1
        return int(least), int(most) if most else None, end + 1

    def _next_is(self, character: str) -> bool:
        return self.pattern.startswith(character, self.position)


def _simplified(pattern: str, repeats: list[_Repeat], *, ends: bool) -> str:
    pieces: list[str] = []
    position = 0
    for run in _side_by_side(pattern, repeats):
        first, last = run[0], run[-1]
        least = sum(repeat.least for repeat in run)
        at_an_end = ends and (first.start == 0 or last.end == len(pattern))
        if least <= MAX_COUNT and (at_an_end or len(run) > 1):
            atom = pattern[first.start : first.middle]
            written = "" if at_an_end and not least else f"{atom}{{{least}{'' if at_an_end else ','}}}"
            pieces += (pattern[position : first.start], written)
            position = last.end
    return "".join([*pieces, pattern[position:]])


def _side_by_side(pattern: str, repeats: list[_Repeat]) -> list[list[_Repeat]]:
    """Return the repeats in runs of equal, adjacent ones."""
    runs: list[list[_Repeat]] = []
    for repeat in sorted(repeats, key=lambda repeat: repeat.start):
        before = runs[-1][-1] if runs else None
        same_atom = before and pattern[before.start : before.middle] == pattern[repeat.start : repeat.middle]
        if before and same_atom and before.end == repeat.start:
            runs[-1].append(repeat)
        else:
            runs.append([repeat])
    return runs


def _repeated_without_end(part: _Cost, least: int) -> _Cost:
    if part.branches:
        raise PatternFault("an unbounded repeat of a group with repeats or alternatives")
    if part.empty:
        raise PatternFault("an unbounded repeat of an empty match")
    return _Cost(unbounded=1, count=part.count * max(least, 1), branches=True, empty=least == 0)


def _repeated_up_to(part: _Cost, least: int, most: int) -> _Cost:
    # 2 ** 64 is beyond MAX_WAYS already.
    ways, power = 0, part.ways ** min(least, 64)
    for _ in range(least, most + 1):
        ways += power
        power *= part.ways
        if ways > MAX_WAYS:
            break
    repeated = _Cost(
        ways=max(ways, 1),
        unbounded=part.unbounded * most,
        count=part.count * max(most, 1),
        branches=True,
        empty=part.empty or least == 0,
    )
    _within_bounds(repeated)
    return repeated


def _within_bounds(cost: _Cost) -> None:
    if cost.unbounded > MAX_UNBOUNDED:
        raise PatternFault(f"more than {MAX_UNBOUNDED} unbounded repeats")
    if cost.count > MAX_COUNT:
        raise PatternFault(f"counted repeats of more than {MAX_COUNT} together")
    if cost.ways > MAX_WAYS:
        raise PatternFault("too many ways to match")


def _is_punctuation(character: str) -> bool:
    return character.isascii() and not character.isalnum() and (character.isprintable() or character in "\t\n\r\f")
