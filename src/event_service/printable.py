"""Text of other programs, made safe to print: what a terminal or a browser would obey becomes escapes.

Sources: Trojan Source (CVE-2021-42574) for bidirectional controls; ECMA-48 for C0 and C1.
"""

import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}
# Joiners select letter forms in Persian, Indic scripts and emoji.
_JOINERS = "\u200c\u200d"

# A backslash is doubled only where it would read as an escape: `C:\Data` stays.
_AMBIGUOUS = r"\\(?=[\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[^ -~]| \Z)"
_TO_ESCAPE = re.compile(rf"{_AMBIGUOUS}|[^ -~]+|\A | \Z")
_TO_ESCAPE_IN_LINE = re.compile(rf"{_AMBIGUOUS}|[^ -~]+| \Z")
_ITEM_TO_ESCAPE = re.compile(rf"{_AMBIGUOUS}|[^ -~]+|\A | \Z|\\(?=, )|,(?= )")
_JSON_TO_ESCAPE = re.compile(r"[^ -~\n]+")


def printable(text: str) -> str:
    r"""Return the text on one line, without control characters, bidirectional controls or lone surrogates.

    They become `\n`, `\r`, `\t`, `\x1b`, `\u202e`, `\U000e0001`, and so do blanks at both ends; a backslash is doubled
    where it would read as such an escape. So the text can be read back.
    """
    if text.isprintable() and "\\" not in text and text.strip(" ") == text:
        return text
    return _TO_ESCAPE.sub(_escape, text)


def printable_lines(text: str) -> str:
    """Return the text like `printable`, but with its line breaks, and blanks at the beginning of its lines."""
    if text.isascii() and text.replace("\n", "").isprintable() and "\\" not in text and " \n" not in f"{text}\n":
        return text
    return "\n".join(_TO_ESCAPE_IN_LINE.sub(_escape, line) for line in text.split("\n"))


def printable_list(items: Iterable[str]) -> str:
    r"""Return the items separated by ", "; such a separator within an item becomes `\x2c`."""
    return ", ".join(_ITEM_TO_ESCAPE.sub(_escape, item) for item in items)


def printable_json(value: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    r"""Return JSON in which JSON's own escapes (`\u202e`) stand for everything that `printable` would escape."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, default=str)
    return text if text.isprintable() else _JSON_TO_ESCAPE.sub(_escape_in_json, text)


def _escape(found: re.Match[str]) -> str:
    run, last = found[0], len(found.string) - 1
    if run == ",":
        return r"\x2c"
    if run.isprintable() and run not in ("\\", " "):
        return run
    return "".join(
        character
        if _is_harmless(character) and not (character.isspace() and found.start() + position in (0, last))
        else _ESCAPES.get(character) or _code(ord(character))
        for position, character in enumerate(run)
    )


def _is_harmless(character: str) -> bool:
    if character in _JOINERS or unicodedata.category(character) == "Zs":
        return True
    return character.isprintable() and character != "\\"


def _code(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escape_in_json(found: re.Match[str]) -> str:
    # Only strings hold such characters, so that the document stays valid.
    run = found[0]
    return "".join(one if _is_harmless(one) else json.dumps(one)[1:-1] for one in run)
