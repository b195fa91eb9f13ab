"""Accepted and refused patterns."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service.query.regex_rule import PatternFault, checked_pattern

ALLOWED = [
    "", "^$", "^cpu", "cpu|disk", "서버-\\d+", "\\bssh\\b", "a{2,}", "[A-Z]+", "ß", "(ab)+c", "(?:ab|cd)e", "x?y",
    "[^]a]", "[]a]", "[a-]", "[\\d.-]", "a{2}", "a{2,3}?", "a+?b", "{eu}", "node\\[3\\]", "}", "]", "a{", "a{x}", "{}",
    "(\\d{1,3}\\.){3}\\d{1,3}", "([0-9a-f]{2}:){5}[0-9a-f]{2}", "a+b+c+d+e+", "\\x41", "\\/\\-\\_", "()", "(|a)",
    "^(web|db)-[0-9]+\\.(eu|us)$", "a" * 512, "(?:a(?:b(?:c)))", "(a+b)?", "\\t\\n", "[\\x41-\\x5a]",
]  # fmt: skip

REFUSED = [
    # not a regular expression
    "[", "*", "+a", "?", "(", ")", "a)", "(a", "[a", "\\", "[\\", "a**", "a+*", "a{2}{3}", "a{3,2}", "[z-a]", "[a-\\d]",
    "(*a)", "^*", "\\b+", "$?", "{2}", "|*", "[a-",
    # other meanings for other engines
    "(?i)a", "(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "(?P<n>a)", "(?<n>a)", "(?>a)", "(?#x)", "(?P=n)", "(?(1)a|b)",
    "(a)\\1", "\\0", "\\8", "\\p{L}", "\\u0041", "\\Z", "\\z", "\\Q", "\\h", "\\v", "\\R", "\\X", "\\K", "\\G", "\\C",
    "\\cA", "\\e", "\\x4", "\\x{41}", "\\xZZ", "\\ä", "[[:alpha:]]", "[[.x.]]", "[a&&b]", "[a||b]", "[a~~b]", "a++",
    "a?+", "a*+", "a{1,2}+", "a{,3}", "[\\b]", "\0", "a\0b", "[\\pL]", "\\a",
    # explosions
    "(a+)+", "(a*)*", "(a+)+$", "(a|a)*", "(a|aa)+", "(a?)*", "(a?){2,}", "((ab)+)+", "(.*)*", "(a{1,2})+", "(a|b)*",
    "(?:a+)+", "(x+x+)+y", "([a-z]+)*$", "(a{2,}){2,}", "(|a)+", "()*", "(^)+", "(a|)+", "((a))+((b|c))+",
    "a+b+c+d+e+f+", ".*.*.*.*.*.*", "(a+){6}", "(a+b+){3}", "(a*){1,30}", "(a+|b+|c+){2}", "a?" * 30, "(a|b){20}",
    "(a?){30}", "(a{0,9}){0,9}", "(a{1,100}){1,100}", "a{1001}", "a{0,1001}", "(a{40}){40}", "a{99999999999}",
    "((((((a?)?)?)?)?)?){9}", "(a|b|c|d){9}", "a{0,300}a{0,400}", "x" * 513,
    "(" * 60 + "a" + ")" * 60,
]  # fmt: skip


@pytest.mark.parametrize("pattern", ALLOWED)
def test_plain_patterns_accepted(pattern: str) -> None:
    checked_pattern(pattern)
    re.compile(pattern)


@pytest.mark.parametrize("pattern", REFUSED)
def test_invalid_ambiguous_or_exploding_patterns_refused(pattern: str) -> None:
    with pytest.raises(PatternFault):
        checked_pattern(pattern)


PIECES = st.sampled_from(
    ["a", "b", ".", "\\d", "\\w", "[ab]", "[^a]", "(", "(?:", ")", "|", "*", "+", "?", "{2}", "{1,3}", "{0,}", "^", "$"]
)


@given(st.lists(PIECES, max_size=25).map("".join))
def test_accepted_patterns_compile(pattern: str) -> None:
    try:
        simpler = checked_pattern(pattern)
    except PatternFault:
        return
    re.compile(pattern)
    re.compile(simpler)


@given(st.lists(PIECES, max_size=16).map("".join))
def test_accepted_patterns_have_bounded_backtracking(pattern: str) -> None:
    try:
        simpler = checked_pattern(pattern)
    except PatternFault:
        return
    compiled = re.compile(f"(?:{simpler})!", re.IGNORECASE)
    started = time.process_time()
    for title in ("a" * 31, "ab" * 16, "a" * 30 + "b"):
        compiled.search(title)
    assert time.process_time() - started < 2.0


@given(st.text(max_size=40))
def test_any_text_accepted_or_refused(pattern: str) -> None:
    try:
        simpler = checked_pattern(pattern)
    except PatternFault:
        return
    re.compile(pattern)
    re.compile(simpler)
