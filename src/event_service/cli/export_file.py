"""What an export writes, and where it was when it was interrupted.

CSV is RFC 4180 in UTF-8: a header, CRLF behind each record, quotes where needed. A cell that a spreadsheet would take
for a formula gets an apostrophe in front. NDJSON is one JSON object a line, as `event list --json` shows an event.

The rows in a file are what is known of an interrupted export; beside it stands NAME.resume with what was asked for.
A process may be killed anywhere: what is behind the last whole record is dropped, and that record says where to go on.
"""

import csv
import io
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

Format = Literal["csv", "ndjson"]

COLUMNS = (
    "created_at", "event_id", "event_type", "severity", "title", "description", "event_key", "rule", "resources",
    "provider", "account", "occurred_at", "alert_id", "webhook_id", "project_id", "workspace_id", "domain_id",
    "image_url", "additional_info", "raw_data",
)  # fmt: skip
"""Of a CSV file. resources are joined by "; "; additional_info and raw_data are JSON."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a spreadsheet take a cell for a formula: OWASP, "CSV Injection". Full-width signs do in some places."""

_SCAN_WINDOW = 200_000  # records whose places are known: those of the last millisecond are read again


def csv_row(event: Mapping[str, Any]) -> bytes:
    """An event's JSON as a record."""
    return _csv_line([escape_formula(_cell(event.get(name))) for name in COLUMNS])


def csv_header() -> bytes:
    """The first record."""
    return _csv_line(COLUMNS)


def ndjson_row(event: Mapping[str, Any]) -> bytes:
    """An event's JSON in one line."""
    told = {name: _in_order(value) for name, value in event.items()}
    return json.dumps(told, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def escape_formula(cell: str) -> str:
    """The text as no spreadsheet takes it for a formula: with an apostrophe in front where it must have one."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell


def _cell(value: Any) -> str:
    if value is None or value == {}:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(value)
    return json.dumps(_in_order(value), ensure_ascii=False)


def _in_order(value: Any) -> Any:
    """The value with the members of its objects by name: protobuf gives them in another order each time."""
    if isinstance(value, dict):
        return {name: _in_order(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_in_order(member) for member in value]
    return value


def _csv_line(cells: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().encode("utf-8", "surrogatepass")


ROW: Mapping[str, Callable[[Mapping[str, Any]], bytes]] = {"csv": csv_row, "ndjson": ndjson_row}


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What an export was asked for, as it is kept beside its file.

    Attributes:
        typed: what the user typed: conditions and keyword.
        query: the query of it, relative times made absolute.
    """

    format: str
    typed: Sequence[str]
    query: Mapping[str, Any]


@dataclass(slots=True)
class FileContent:
    """What a file holds.

    Attributes:
        rows: whole records, the header not counted.
        length: bytes of what is whole.
        token: names the last event; "" where there is none.
        last_ids: the events of the last millisecond.
    """

    rows: int = 0
    length: int = 0
    token: str = ""
    last_ids: set[str] = field(default_factory=set)


def state_path(path: Path) -> Path:
    """Where what was asked for is kept while an export into `path` is not complete."""
    return path.with_name(f"{path.name}.resume")


def save_state(path: Path, asked: ExportRequest) -> None:
    """Writes what was asked for, whole or not at all."""
    notes, new = state_path(path), path.with_name(f"{path.name}.resume.new")
    text = {"format": asked.format, "typed": list(asked.typed), "query": asked.query}
    new.write_text(json.dumps(text, ensure_ascii=False), encoding="utf-8")
    new.replace(notes)


def load_state(path: Path) -> ExportRequest | None:
    """What was asked for; None where the export is complete, or nothing is known of it.

    Raises:
        ValueError: the notes are not ours.
    """
    try:
        kept = json.loads(state_path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(kept, dict) or kept.keys() != {"format", "typed", "query"} or kept["format"] not in ROW:
        raise ValueError("not the notes of an export")
    return ExportRequest(kept["format"], kept["typed"], kept["query"])


def scan_file(file: BinaryIO, format_: str) -> FileContent:
    """What a file holds, whatever became of its writer.

    Raises:
        ValueError: a record that no export has written.
    """
    places: deque[int] = deque(maxlen=_SCAN_WINDOW)
    start = end = rows = 0
    inside = False
    for line in file:
        end += len(line)
        if format_ == "csv":
            # Inside quotes a quote stands twice, so whether their number is odd says where we are.
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
