"""The tests named in docs/guarantees.md and SECURITY.md exist, and each guarantee has a duration."""

import ast
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
GUARANTEES = CHECKOUT / "docs" / "guarantees.md"

_NAME = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_ROW = re.compile(r"\| (?P<promise>[^|]+) \| (?P<tests>[^|]+) \| (?P<seconds>[^|]+) \|")


def functions_of(path: Path) -> set[str]:
    """Return the names of the tests in a module."""
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("document", ["docs/guarantees.md", "SECURITY.md"])
def test_every_test_it_names_exists(document: str) -> None:
    named = _NAME.findall((CHECKOUT / document).read_text())
    assert named
    for path, function in named:
        assert (CHECKOUT / path).exists(), path
        assert not function or function in functions_of(CHECKOUT / path), f"{path}::{function}"


def test_every_promise_has_a_test_and_its_seconds() -> None:
    rows = [match for match in map(_ROW.fullmatch, GUARANTEES.read_text().splitlines()) if match is not None]
    promises = [row for row in rows if row["promise"].strip() not in {"promise", "---"}]
    assert len(promises) > 30
    for row in promises:
        assert _NAME.search(row["tests"]), row["promise"]
        assert re.fullmatch(r"<1|\d+", row["seconds"].strip()), row["promise"]
