"""Formats of export files, and the state of interrupted exports.

CSV is RFC 4180 in UTF-8: a header, CRLF after each record, quotes where needed. A cell that a spreadsheet would
evaluate as a formula is prefixed with an apostrophe. NDJSON is one JSON object per line, as in `event list --json`.

An export can be resumed after a kill at any point. NAME.resume holds the request; the position is the last complete
record of the file itself, and bytes after it are dropped.
"""

import csv
import io
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from event_service.printable import printable_json, printable_lines

Format = Literal["csv", "ndjson"]

COLUMNS = (
    "created_at", "event_id", "event_type", "severity", "title", "description", "event_key", "rule", "resources",
    "provider", "account", "occurred_at", "alert_id", "webhook_id", "project_id", "workspace_id", "domain_id",
    "image_url", "additional_info", "raw_data",
)  # fmt: skip
"""Columns of a CSV file. resources are joined by "; "; additional_info and raw_data are JSON."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Characters that start a formula: OWASP, "CSV Injection". Full-width signs count in some locales."""

_SCAN_WINDOW = 200_000  # records with known offsets; those of the last millisecond are read again


def csv_row(event: Mapping[str, Any]) -> bytes:
    return _csv_line([escape_formula(_cell(event.get(name))) for name in COLUMNS])


def csv_header() -> bytes:
    return _csv_line(COLUMNS)


def ndjson_row(event: Mapping[str, Any]) -> bytes:
    ordered = {name: _sorted(value) for name, value in event.items()}
    return printable_json(ordered).encode() + b"\n"


def csv_for_terminal(rows: bytes) -> bytes:
    """Return CSV rows with everything escaped that a terminal would obey."""
    return printable_lines(rows.decode("utf-8", "surrogatepass").replace("\r\n", "\n")).encode()


def escape_formula(cell: str) -> str:
    """Prefix the text with an apostrophe if a spreadsheet would evaluate it."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell


def _cell(value: Any) -> str:
    if value is None or value == {}:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(value)
    return json.dumps(_sorted(value), ensure_ascii=False)


def _sorted(value: Any) -> Any:
    """Sort the members of all objects by name: protobuf maps have no stable order."""
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_sorted(member) for member in value]
    return value


def _csv_line(cells: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().encode("utf-8", "surrogatepass")


ROW: Mapping[str, Callable[[Mapping[str, Any]], bytes]] = {"csv": csv_row, "ndjson": ndjson_row}


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """The request of an export, kept in its state file.

    Attributes:
        typed: conditions and keyword as typed by the user.
        query: the query, with absolute times.
    """

    format: str
    typed: Sequence[str]
    query: Mapping[str, Any]


@dataclass(slots=True)
class FileContent:
    """Complete records of an export file.

    Attributes:
        rows: number of records, without the header.
        length: their size in bytes.
        token: resume_token of the last event, or "".
        last_ids: ids of the events of the last millisecond.
    """

    rows: int = 0
    length: int = 0
    token: str = ""
    last_ids: set[str] = field(default_factory=set)


def state_path(path: Path) -> Path:
    """Return the path of the state file, which exists until the export into `path` is complete."""
    return path.with_name(f"{path.name}.resume")


def save_state(path: Path, asked: ExportRequest) -> None:
    """Write the state file atomically."""
    state, new = state_path(path), path.with_name(f"{path.name}.resume.new")
    text = {"format": asked.format, "typed": list(asked.typed), "query": asked.query}
    new.write_text(json.dumps(text, ensure_ascii=False), encoding="utf-8")
    new.replace(state)


def load_state(path: Path) -> ExportRequest | None:
    """Return the request of an interrupted export; None if there is no state file.

    Raises:
        ValueError: it is not a state file of an export.
    """
    try:
        kept = json.loads(state_path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(kept, dict) or kept.keys() != {"format", "typed", "query"} or kept["format"] not in ROW:
        raise ValueError("not the state of an export")
    return ExportRequest(kept["format"], kept["typed"], kept["query"])


def scan_file(file: BinaryIO, format_: str) -> FileContent:
    """Find the last complete record of an export file.

    Raises:
        ValueError: a record is not an export's.
    """
    places: deque[int] = deque(maxlen=_SCAN_WINDOW)
    start = end = rows = 0
    inside = False
    for line in file:
        end += len(line)
        if format_ == "csv":
            # Quotes inside a quoted cell are doubled, so an odd number of them toggles the state.
            inside ^= line.count(b'"') % 2 == 1
            if inside or not line.endswith(b"\r\n"):
                continue
        elif not line.endswith(b"\n"):
            continue
        places.append(start)
        start = end
        rows += 1
    header = format_ == "csv" and rows > 0
    written = FileContent(rows - header, start)
    last = ""
    places.append(start)
    while len(places) > 1 and rows > header:
        stop, rows = places.pop(), rows - 1
        file.seek(places[-1])
        created_at, event_id = _place_of(file.read(stop - places[-1]), format_)
        last = last or created_at
        written.token = written.token or f"{created_at}/{event_id}"
        if created_at != last:
            break
        written.last_ids.add(event_id)
    return written


def _place_of(record: bytes, format_: str) -> tuple[str, str]:
    if format_ == "csv":
        cells = next(csv.reader(io.StringIO(record.decode("utf-8", "surrogatepass"), newline=""), strict=True), [])
        if len(cells) != len(COLUMNS):
            raise ValueError("not a record of an export")
        return cells[0], cells[1]
    try:
        event = json.loads(record)
        return event["created_at"], event["event_id"]
    except (KeyError, TypeError):
        raise ValueError("not a line of an export") from None
