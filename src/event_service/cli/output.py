"""Output of commands: tables and colours, or JSON."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.json import JSON
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

SEVERITY_STYLES = {
    "CRITICAL": "bold white on red",
    "ERROR": "bold red",
    "WARNING": "yellow",
    "INFO": "cyan",
    "NOT_AVAILABLE": "magenta",
    "NONE": "dim",
}
EVENT_TYPE_STYLES = {"RECOVERY": "green", "ERROR": "bold red"}
STATE_STYLES = {"ENABLED": "green", "DISABLED": "yellow"}

# Width for pipes and files, so that rows are not folded.
PIPE_WIDTH = 400


def console(*, stderr: bool = False) -> Console:
    """Return a console for a standard stream; Rich omits colours with NO_COLOR and outside terminals.

    Made anew for each use, since tests replace the standard streams.
    """
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else PIPE_WIDTH, highlight=False)


def print_json(value: object) -> None:
    """Print one indented JSON document, without escaping non-ASCII characters."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def styled(text: str, styles: Mapping[str, str]) -> Text:
    return Text(text, style=styles.get(text, ""))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, note: str = "", fold_last: bool = False
) -> None:
    """Print a table without frames, one row a line, and a note below it.

    Args:
        fold_last: fold a last cell that is too long for the terminal, instead of cutting every cell of its row.
    """
    out = console()
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for position, column in enumerate(columns, 1):
        folded = fold_last and position == len(columns)
        table.add_column(column, overflow="fold" if folded else "ellipsis", no_wrap=not folded)
    for row in rows:
        table.add_row(*row)
    _print_unpadded(out, table)
    if note:
        out.print(Text(note, style="dim"))


def print_fields(fields: Iterable[tuple[str, str | Text]]) -> None:
    """Print one name and value per line; omit pairs without a value."""
    out = console()
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields:
        if value:
            table.add_row(name, value)
    _print_unpadded(out, table)


def _print_unpadded(out: Console, table: Table) -> None:
    """Print a table, in a pipe without trailing blanks."""
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    out.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def print_document(heading: str, value: Mapping[str, Any]) -> None:
    """Print a JSON object under a heading."""
    out = console()
    out.print(Text(f"\n{heading}", style="bold"))
    out.print(JSON.from_data(value, ensure_ascii=False, indent=2))


def progress_bar(*, shown: bool = True) -> Progress:
    """Return a progress bar on standard error, shown only on a terminal."""
    err = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, transient=True, disable=not (shown and err.is_terminal))


def bar(share: float, width: int = 30) -> str:
    """Return a bar for a share from 0 to 1, with a resolution of an eighth of a character."""
    eighths = round(max(0.0, min(share, 1.0)) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[rest]
