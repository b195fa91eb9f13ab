"""Reading printed texts back."""

import re

from hypothesis import strategies as st

_ESCAPE = re.compile(r"\\(?:([\\nrt])|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
_NAMED = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}

NASTY = (
    "Linux: FS [/]: Space is critically low", "a [/x]", "[prod] [bold red]", ":fire:", "C:\\Data", "\\x1b \\\\n",
    "\x1b]0;title\x07", "\x1b[31mred", "\x9b31m", "\u202egnp.exe", "a\nb\r\nc\t", " both ends ", "a, b",
    "\xe9\u2028\u200d", "\U000e0041\ufeff", "한국어", "--", "}", "",
)  # fmt: skip

_HARMFUL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

texts = st.sampled_from(NASTY) | st.text(max_size=40) | st.text("[]/:\\ ,\x1b\x9b\u202enxu0123aU\n\"'", max_size=20)
"""Any text without lone surrogates."""


def read_back(shown: str) -> str:
    """Return the text of which `printable` made this."""
    return _ESCAPE.sub(
        lambda found: _NAMED[found[1]] if found[1] else chr(int(found[2] or found[3] or found[4], 16)), shown
    )


def is_harmless(shown: str) -> bool:
    """Return True for text on lines without characters that a terminal obeys or that reorder it."""
    return not _HARMFUL.search(shown)
