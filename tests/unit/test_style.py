"""The word list of CONTRIBUTING, kept at its level: every finding is named with its file and line.

`python -m tests.unit.test_style` prints all findings and their count by kind.
"""

import ast
import functools
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "event_service"

ALLOWED_IN_SOURCE = 19
"""Findings in docstrings and comments of `src`. Texts that users read have no allowance."""

WORDS = re.compile(
    r"\b(nobody|somebody|anybody|everybody|whoever|told|does not hold|mend(s|ed|ing)?|lest|be it|strangers?"
    r"|(?-i:is none))\b",
    re.IGNORECASE,
)
QUESTION = re.compile(r"(What|Whether|How|Who|Where)\b")
TEMPLATES = {".html", ".js", ".css", ".svg", ".json"}
QUOTED = "| Instead of |"
"""Head of the style page's tables: their first column quotes what this test finds."""


class Finding(NamedTuple):
    kind: str
    path: Path
    line: int
    words: str
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.words!r} in a {self.kind}: {self.text}"


def test_no_private_words_in_messages_help_and_settings() -> None:
    assert [str(finding) for finding in in_source() if finding.kind == "message"] == []


def test_no_private_words_in_templates_and_protos() -> None:
    assert [str(finding) for finding in in_templates()] == []


def test_no_private_words_in_documents() -> None:
    assert [str(finding) for finding in in_documents()] == []


def test_few_private_words_in_docstrings_and_comments() -> None:
    found = [str(finding) for finding in in_source() if finding.kind != "message"]
    assert len(found) <= ALLOWED_IN_SOURCE, "\n".join(found)


def test_findings_are_named_with_their_line() -> None:
    code = (
        '"""Of strangers."""\n\ndef f(x):\n    """Whether x."""\n    raise E(f"{x} does not\\n hold")  # lest it fail\n'
    )
    found = [(finding.kind, finding.line, finding.words) for finding in in_module(SOURCE / "x.py", code)]
    assert sorted(found) == [
        ("comment", 5, "lest"),
        ("docstring", 1, "strangers"),
        ("docstring", 4, "Whether"),
        ("message", 5, "does not hold"),
    ]


def test_the_column_that_quotes_bad_words_is_not_searched() -> None:
    page = f"{QUOTED} Write |\n|---|---|\n| nobody | no caller |\n| none | somebody |\n\nEverybody.\n"
    assert [(finding.line, finding.words) for finding in in_page(SOURCE / "x.md", page)] == [
        (4, "somebody"),
        (6, "Everybody"),
    ]


@functools.cache
def in_source() -> list[Finding]:
    paths = [path for path in sorted(SOURCE.rglob("*.py")) if "_gen" not in path.parts]
    return [finding for path in paths for finding in in_module(path, path.read_text())]


def in_templates() -> Iterator[Finding]:
    paths = [path for path in SOURCE.rglob("*") if path.suffix in TEMPLATES]
    for path in sorted([*paths, *(ROOT / "proto" / "event_service").rglob("*.proto")]):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            yield from search("template", path, number, line)


def in_documents() -> Iterator[Finding]:
    pages = [ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")]
    for path in [*pages, *sorted((ROOT / "docs").rglob("*.md"))]:
        yield from in_page(path, path.read_text())


def in_module(path: Path, code: str) -> Iterator[Finding]:
    """Search a module's docstrings (also those of attributes), string literals and comments."""
    tree = ast.parse(code)
    docstrings = {
        id(node.value): node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            kind = "docstring" if id(node) in docstrings else "message"
            yield from search(kind, path, node.lineno, node.value)
            if kind == "docstring" and (question := QUESTION.match(node.value)):
                yield Finding(kind, path, node.lineno, question[0], _one_line(node.value))
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            yield from search("comment", path, token.start[0], token.string)


def in_page(path: Path, text: str) -> Iterator[Finding]:
    """Search a Markdown page, but for the first column of tables that quote."""
    quoting = False
    for number, line in enumerate(text.splitlines(), 1):
        quoting = line.startswith(QUOTED) or (quoting and line.startswith("|"))
        yield from search("document", path, number, line.split("|", 2)[2] if quoting else line)


def search(kind: str, path: Path, line: int, text: str) -> Iterator[Finding]:
    text = " ".join(text.split())
    for match in WORDS.finditer(text):
        yield Finding(kind, path, line, match[0], text[max(match.start() - 50, 0) : match.end() + 50])


def _one_line(text: str) -> str:
    return text.splitlines()[0][:100]


if __name__ == "__main__":
    findings = [*in_source(), *in_templates(), *in_documents()]
    sys.stdout.write("".join(f"{finding}\n" for finding in findings))
    sys.stdout.write(f"{dict(Counter(finding.kind for finding in findings))}\n")
