"""Patterns and texts with catastrophic backtracking."""

ATOMS = (
    "a", "b", "c", "ab", "x", ".", "\\d", "\\w", "[ab]", "[^a]", "\\s", "\\b", "(a|bc)", "(?:ab|c|abc)", "(ab|b)", "b?",
    "a{1,2}", "(b|)", "\\n", "{", "}", "1", "2", "{(1|2)}", "ß", "s", "^", "$", "(a+b)?", "(?:ab)",
)  # fmt: skip
REPEATS = ("", "", "", "*", "+", "?", "{2}", "{1,3}", "{0,}", "{2,}", "*?", "+?")
ANYTHING = (".*", ".+", ".*?", ".{2,}")


def worst_texts(length: int) -> list[str]:
    """Return texts that match partially at every position."""
    patterns = ("a", "ab", "abc", "abcd", "1", "a1", " ", "a ", "x")
    return [(pattern * length)[:length] for pattern in patterns]
