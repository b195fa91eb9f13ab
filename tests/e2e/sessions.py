"""Reads the terminal sessions in a Markdown file, so that a test can hold them to what really happens.

A session is a block marked `console`: a line with `$ ` is a command, continued while lines end in a backslash, and what
follows it is what the command prints. Ids, keys and times differ from run to run: they are compared by their form, and
an id the text shows stands for the id that the command printed in its place.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)

VARIABLE = re.compile(
    r"(?:webhook|event|alert)-[0-9a-f]{12}"  # ids
    r"|\b[0-9a-f]{64}\b"  # access keys
    r"|\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{3})?)?Z?"  # times
)


@dataclass(frozen=True)
class Step:
    """A command of a session and what the text says it prints."""

    command: str
    printed: str


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of one language, in order."""
    return [
        match["body"] for match in BLOCK.finditer(path.read_text(encoding="utf-8")) if match["language"] == language
    ]


def steps(session: str) -> Iterator[Step]:
    """Yield the steps of a session."""
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        length = next(number for number, line in enumerate(lines, 1) if not line.endswith("\\"))
        yield Step("\n".join(lines[:length]), "\n".join(lines[length:]).strip())


class Meanings:
    """Mapping from the ids of a text to those of this run."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def translate(self, text: str) -> str:
        """Return the text with every id it has shown before replaced by the real one."""
        return VARIABLE.sub(lambda match: self.known.get(match[0], match[0]), text)

    def compare(self, said: str, printed: str) -> None:
        """Fail where the two differ in more than ids, keys and times; learns what those of the text stand for."""
        said_form, printed_form = (
            [VARIABLE.sub("<VARIABLE>", line).split() for line in text.strip().splitlines()] for text in (said, printed)
        )
        assert said_form == printed_form, f"the text says\n{said}\nand it prints\n{printed}"
        pairs = zip(VARIABLE.findall(said), VARIABLE.findall(printed), strict=True)
        for shown, real in pairs:
            assert self.known.setdefault(shown, real) == real or ":" in shown, f"{shown} stands for two ids"
