"""Texts made safe to print can be read back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service.printable import printable, printable_json, printable_lines, printable_list
from tests.unit.reading_back import is_harmless, read_back, texts

with_surrogates = texts | st.text(st.characters(), max_size=20) | st.text("\ud800\udfff\udc1b a\\", max_size=8)


@given(with_surrogates)
def test_text_on_one_line_read_back(text: str) -> None:
    shown = printable(text)
    assert is_harmless(shown)
    assert shown.splitlines() == ([shown] if shown else [])
    assert shown.strip() == shown
    assert read_back(shown) == text


@given(with_surrogates)
def test_text_with_line_breaks_read_back(text: str) -> None:
    shown = printable_lines(text)
    assert is_harmless(shown)
    assert shown.count("\n") == text.count("\n")
    assert "\n".join(map(read_back, shown.split("\n"))) == text


@given(st.lists(with_surrogates, min_size=1))
def test_list_read_back(items: list[str]) -> None:
    shown = printable_list(items)
    assert is_harmless(shown)
    assert [read_back(item) for item in shown.split(", ")] == items


@given(st.dictionaries(texts, texts), st.sampled_from([None, 2]), st.booleans())
def test_json_read_back(value: dict[str, str], indent: int | None, ascii_only: bool) -> None:
    shown = printable_json(value, indent=indent, ascii_only=ascii_only)
    assert is_harmless(shown)
    assert json.loads(shown) == value
    assert shown.isascii() or not ascii_only


@pytest.mark.parametrize(
    "text", ["Linux: FS [/]: low", r"C:\Data\logs", "서울 서버", "a\xa0b", "\u0645\u06cc\u200c\u062e", "👩\u200d🚀 5 %"]
)
def test_ordinary_text_unchanged(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("\x9b", r"\x9b"),
        ("\u202eexe", r"\u202eexe"),
        ("\udc80", r"\udc80"),
        ("\U000e0041", r"\U000e0041"),
        ("a\n b ", r"a\n b\x20"),
        (r"\x1b", r"\\x1b"),
        (r"C:\temp", r"C:\\temp"),
    ],
)
def test_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown
