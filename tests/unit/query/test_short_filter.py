"""Lines of predicates as users type them into a search field."""

from typing import Any

import pytest

from event_service.query.short_filter import InvalidPredicate, parse_line


@pytest.mark.parametrize(
    ("line", "conditions", "keyword"),
    [
        ("", [], ""),
        ("   ", [], ""),
        ("cpu  load", [], "cpu load"),
        ('"cpu load"', [], "cpu load"),
        ('"a=b"', [], "a=b"),
        ('"', [], ""),
        ("severity=critical web-1", [("severity", "CRITICAL", "eq")], "web-1"),
        ('title~"cpu load" x', [("title", "cpu load", "contain")], "x"),
        ('title="', [("title", '"', "eq")], ""),
        ('raw_data.count="3"', [("raw_data.count", "3", "eq")], ""),
        (
            "since=2h resource!=web-1",
            [("created_at", "now-2h", "timediff_gte"), ("resources", "web-1", "not")],
            "",
        ),
    ],
)
def test_a_line(line: str, conditions: list[tuple[str, Any, str]], keyword: str) -> None:
    found, words = parse_line(line)
    assert [(one["k"], one["v"], one["o"]) for one in found] == conditions
    assert words == keyword


def test_invalid_predicate_suggests_valid_form() -> None:
    with pytest.raises(InvalidPredicate, match="since=2h"):
        parse_line("since>2h")
