"""Patterns as the embedded database gets them: they match what they matched, and end soon."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service.query.regex_rule import PatternFault, checked_pattern
from event_service.query.regex_tree import Item, parse
from event_service.store.python_patterns import BEYOND, LONGEST, STEPS, bounded, characters, longest_repeat
from tests.unit.store.patterns import PATTERNS, SHORT_TEXTS, worst_texts


def put(pattern: str) -> str:
    return bounded(checked_pattern(pattern))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("cpu", "cpu"),
        ("(web|db)-[0-9]{1,3}", "(web|db)-[0-9]{1,3}"),
        # parts that are looked for one after the other
        ("a.*b.*c.*d.*e", "(?m:^)(?>.*?a)(?>.*?b)(?>.*?c)(?>.*?d)(?>.*?e)"),
        ("^a.*b.+c$", "^(?>a)(?>.*?b)(?>.{1,}?c$)"),
        ("^.*a", "^(?>)(?>.*?a)"),
        ("(web|db).*time-?out", "(?m:^)(?>.*?(?:db|web))(?>.*?(?:timeout|time-out))"),
        ("a.*b|c+d+e", "(?m:^)(?>.*?a)(?>.*?b)|c{1,1000}d+e"),
        ("x{.*(1|2)}", "(?m:^)(?>.*?x\\{)(?>.*?(?:1}|2}))"),
        # parts that cannot be: one may hide in another, cross a line, end anywhere
        ("(exhausted|us).*x", "(exhausted|us).{0,1000}x"),
        ("a\\s.*b", "a\\s.{0,1000}b"),
        ("a.*b+c", "a.{0,223}b{1,223}c"),
        ("a.*(b$|c)d", "a.{0,1000}(b$|c)d"),
        ("a.*[a-z]{0,40}x", "a.{0,1000}[a-z]{0,40}x"),
        # repeats that begin in one place only stay as they are
        ("-\\w*a", "-\\w*a"),
        ("^\\w+-\\w+@[a-z]+!", "^\\w+-\\w+@[a-z]+!"),
        ("id=\\d+ (?:ab)+c", "id=\\d+ (?:ab)+c"),
        # repeats that go over the same characters again
        ("a\\w*b", "a\\w{0,1000}b"),
        ("a\\w*b\\w+c", "a\\w{0,223}b\\w{1,223}c"),
        ("k[a-z]*!", "k[a-z]{0,1000}!"),
        ("ſ[a-z]*!", "ſ[a-z]{0,1000}!"),
        ("x(\\d+,){3}y", "x(?:\\d{1,36},){3}y"),
        ("a\\w{2000}", None),
        ("ab{3,}?\\w*c", "ab{3,}?\\w{0,1000}c"),
    ],
)
def test_how_patterns_are_put(pattern: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(PatternFault):
            put(pattern)
        return
    assert put(pattern) == expected


def test_longer_repeats_are_tried_where_there_are_fewer() -> None:
    lengths = [longest_repeat(number) for number in range(1, 6)]
    assert lengths[0] == LONGEST
    assert lengths == sorted(lengths, reverse=True)
    assert all(length**number <= STEPS for number, length in enumerate(lengths, 1))
    assert longest_repeat(1, tried=STEPS) >= 1


def test_what_characters_match() -> None:
    assert characters("a") == {ord("a"), ord("A")}
    assert BEYOND in characters("s")  # the long s is one
    assert BEYOND in characters("[^x]")
    assert BEYOND in characters("\\d")
    assert characters("[0-9]") == set(range(48, 58))
    assert characters("\\b") == set()


def test_a_pattern_is_taken_apart() -> None:
    assert parse("a{2,}?[]\\]](?:b|)\\x41{x}") == (
        (
            Item("a", None, 2, None),
            Item("[]\\]]"),
            Item("(?:b|)", ((Item("b"),), ())),
            Item("\\x41"),
            Item("{"),
            Item("x"),
            Item("}"),
        ),
    )
    with pytest.raises(ValueError, match="let through"):
        parse("a)")


@given(PATTERNS, st.lists(SHORT_TEXTS, min_size=5, max_size=5))
def test_matches_what_it_matched(pattern: str, texts: list[str]) -> None:
    try:
        checked = checked_pattern(pattern)
    except PatternFault:
        return
    before, after = re.compile(pattern, re.IGNORECASE), re.compile(bounded(checked), re.IGNORECASE)
    for text in texts:
        assert bool(before.search(text)) is bool(after.search(text))


@pytest.mark.parametrize(
    "pattern",
    [
        "a.*b.*c.*d.*e", "a.*b.*c.*d.*e.*f", "(web|db).*(error|warn).*x", "\\w+a\\w+b\\w+c\\w+d\\w+e", "a\\w*b\\w*c",
        "(\\d+)x", "[^,]*,[^,]*;[^,]*:[^,]*!", "(a|a){14}x", "a[ab]+b[ab]+a[ab]+b[ab]+!", "(.+a){5}!", "(a+b){5}!",
        "a.*[ab]*.*[ab]*.*!", "(?:ab)*(?:ba)*(?:ab)*(?:ba)*!", "a?" * 15 + "!", "\\s+x\\s+y\\s+!", "(a*a){1,5}!",
    ],
)  # fmt: skip
def test_no_text_takes_long(pattern: str) -> None:
    compiled = re.compile(put(pattern), re.IGNORECASE)
    for text in worst_texts(100):
        started = time.process_time()
        compiled.search(text)
        assert time.process_time() - started < 1.0


@given(PATTERNS)
def test_no_pattern_takes_long(pattern: str) -> None:
    try:
        checked = checked_pattern(f"{pattern}!")
    except PatternFault:
        return
    compiled = re.compile(bounded(checked), re.IGNORECASE)
    started = time.process_time()
    for text in worst_texts(60):
        compiled.search(text)
    assert time.process_time() - started < 3.0
