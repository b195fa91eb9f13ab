"""Export files: escaping, round trips, and resuming a truncated file."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from event_service.cli.export_file import (
    COLUMNS,
    ROW,
    ExportRequest,
    csv_header,
    escape_formula,
    load_state,
    save_state,
    scan_file,
    state_path,
)


def event(number: int, second: int, title: str = "") -> dict[str, Any]:
    return {
        "event_id": f"event-{number:012x}",
        "created_at": f"2026-03-01T12:00:{second:02}.000Z",
        "title": title,
        "resources": ["web-1", "web-2"],
        "additional_info": {},
        "raw_data": {"a": "ü"},
    }


TITLES = ['"', '""\r\n"', "a,b", "\r\n", "\n", "x\r", "", "plain", '"quoted" and\r\n=1+1,"', "雪\x00"]


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=cmd|' /C calc'!A0", "＝1", "－1"]
)
def test_formula_is_escaped(cell: str) -> None:
    assert escape_formula(cell) == f"'{cell}"
    row = ROW["csv"]({**event(1, 1), "title": cell, "resources": [cell], "event_key": cell})
    (cells,) = csv.reader(io.StringIO(row.decode(), newline=""))
    assert cells.count(f"'{cell}") == 3


@pytest.mark.parametrize("cell", ["", "plain", "a=b", "'=1", "1-1", "{}", "2026-03-01T12:00:00.000Z"])
def test_other_cells_are_unchanged(cell: str) -> None:
    assert escape_formula(cell) == cell


@pytest.mark.parametrize("title", TITLES)
def test_a_record_is_read_back_as_it_was(title: str) -> None:
    text = (csv_header() + ROW["csv"](event(1, 1, title))).decode()
    assert text.endswith("\r\n")
    header, cells = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert tuple(header) == COLUMNS
    row = dict(zip(header, cells, strict=True))
    assert row["title"] in (title, f"'{title}")
    assert (row["resources"], row["additional_info"], row["account"]) == ("web-1; web-2", "", "")
    assert json.loads(row["raw_data"]) == {"a": "ü"}
    assert json.loads(ROW["ndjson"](event(1, 1, title))) == event(1, 1, title)


@pytest.mark.parametrize("format_", ROW)
def test_truncated_file_counts_complete_records(format_: str) -> None:
    header = csv_header() if format_ == "csv" else b""
    events = [event(number, number // 3, title) for number, title in enumerate(TITLES)]
    rows = [ROW[format_](one) for one in events]
    whole = header + b"".join(rows)
    ends = [len(header) + sum(map(len, rows[:number])) for number in range(len(rows) + 1)]
    for length in range(len(whole) + 1):
        written = scan_file(io.BytesIO(whole[:length]), format_)
        number = max((number for number, end in enumerate(ends) if end <= length), default=0)
        assert written.rows == number
        assert written.length == (ends[number] if length >= ends[0] else 0)
        if number:
            last = events[number - 1]
            assert written.token == f"{last['created_at']}/{last['event_id']}"
            assert written.last_ids == {
                one["event_id"] for one in events[:number] if one["created_at"] == last["created_at"]
            }
        else:
            assert (written.token, written.last_ids) == ("", set())


@pytest.mark.parametrize(
    ("format_", "content"),
    [
        ("csv", b"a,b\r\nc,d\r\n"),
        ("ndjson", b"[]\n"),
        ("ndjson", b"{}\n"),
        ("ndjson", b"x\n"),
        ("csv", b"x\r\n\xff\r\n"),
    ],
)
def test_file_of_another_program_is_refused(format_: str, content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any
        scan_file(io.BytesIO(content), format_)


def test_state_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    assert load_state(path) is None
    asked = ExportRequest("csv", ["since=2h"], {"filter": [{"k": "created_at", "v": "2026", "o": "datetime_gte"}]})
    save_state(path, asked)
    assert load_state(path) == asked
    assert [one.name for one in tmp_path.iterdir()] == ["events.csv.resume"]
    state_path(path).write_text('{"format": "xml"}')
    with pytest.raises(ValueError, match="not the state"):
        load_state(path)
