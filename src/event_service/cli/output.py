"""Everything that commands print: sentences, tables and colours, or JSON.

Texts of events, webhooks, servers and arguments are printed by `printable`, never as Rich's markup; so commands print
through this module only.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from event_service.printable import printable, printable_json, printable_lines, printable_list

SEVERITY_STYLES = {
    "CRITICAL": "bold white on red",
    "ERROR": "bold red",
    "WARNING": "yellow",
    "INFO": "cyan",
    "NOT_AVAILABLE": "magenta",
    "NONE": "dim",
}
EVENT_TYPE_STYLES = {"RECOVERY": "green", "ERROR": "bold red"}
STATE_STYLES = {
    "ENABLED": "green",
    "DISABLED": "yellow",
    "TRIGGERED": "bold red",
    "ERROR": "bold red",
    "ACKNOWLEDGED": "yellow",
    "RESOLVED": "green",
}

# Width for pipes and files: nothing is folded or cut.
PIPE_WIDTH = 1_000_000


def tolerate_encoding() -> None:
    """Make standard streams escape characters that their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def say(text: str, *, style: str = "", stderr: bool = False, fold: bool = True) -> None:
    """Print one line.

    Args:
        fold: fold it at words in a terminal; False for lines to copy.
    """
    _console(stderr=stderr).print(Text(printable(text), style=style), soft_wrap=not fold)


def skip_line() -> None:
    """Print an empty line."""
    _console().print()


def print_error(message: str, hint: str) -> None:
    """Print an error and its hint, of one or several lines, on standard error."""
    _console(stderr=True).print(Text("error: ", style="bold red") + Text(printable(message)))
    if hint:
        _console(stderr=True).print(Text(printable_lines(hint)))


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print one JSON document, indented or on one line; escape non-ASCII characters only for other encodings."""
    ascii_only = sys.stdout.encoding.lower().replace("-", "") != "utf8"
    sys.stdout.write(printable_json(value, indent=indent, ascii_only=ascii_only) + "\n")


def styled(text: str, styles: Mapping[str, str]) -> Text:
    return Text(printable(text), style=styles.get(text, ""))


def short_time(timestamp: str) -> str:
    """Shorten `2026-01-31T10:00:00.123Z` to UTC seconds for a table."""
    return timestamp[:19].replace("T", " ")


def listed(items: Iterable[str]) -> Text:
    """Return texts separated by commas, for a cell."""
    return Text(printable_list(items))


def print_parts(parts: Iterable[Text]) -> None:
    """Print styled texts on one line, two blanks between them; omit empty ones."""
    _console().print(Text("  ").join(part for part in parts if part.plain), soft_wrap=True)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, note: str = "", fold_last: bool = False
) -> None:
    """Print a table without frames, one row a line, and a note below it.

    Args:
        fold_last: fold a last cell that is too long for the terminal, instead of cutting every cell of its row.
    """
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for position, column in enumerate(columns, 1):
        folded = fold_last and position == len(columns)
        table.add_column(Text(printable(column)), overflow="fold" if folded else "ellipsis", no_wrap=not folded)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row))
    _print_unpadded(table)
    if note:
        say(note, style="dim")


def print_fields(fields: Iterable[tuple[str, str | Text]]) -> None:
    """Print one name and value per line; omit pairs without a value. Later lines of a value are indented."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields:
        if value:
            table.add_row(Text(name), value if isinstance(value, Text) else Text(printable_lines(value)))
    _print_unpadded(table)


def print_document(heading: str, value: Mapping[str, Any]) -> None:
    """Print a JSON object under a heading."""
    skip_line()
    say(heading, style="bold")
    document = Text(printable_json(value, indent=2))
    JSONHighlighter().highlight(document)
    _console().print(document, soft_wrap=True)


def _console(*, stderr: bool = False) -> Console:
    """Return a console for a standard stream; Rich omits colours with NO_COLOR and outside terminals.

    Made anew for each use, since tests replace the standard streams.
    """
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def _print_unpadded(table: Table) -> None:
    """Print a table, in a pipe without trailing blanks."""
    out = _console()
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    out.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def progress_bar(*, shown: bool = True) -> Progress:
    """Return a progress bar on standard error, shown only on a terminal."""
    err = _console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, transient=True, disable=not (shown and err.is_terminal))


def bar(share: float, width: int = 30) -> str:
    """Return a bar for a share from 0 to 1, with a resolution of an eighth of a character."""
    eighths = round(max(0.0, min(share, 1.0)) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[rest]
