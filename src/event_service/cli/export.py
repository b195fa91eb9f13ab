"""`event-service event export`: write all matching events to a file or a pipe."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.progress import Progress

from event_service._gen.event_service.v1 import events_pb2
from event_service.cli.completion import event_conditions, export_formats
from event_service.cli.connection import EVENT, EVENTS, Connection
from event_service.cli.export_file import (
    ROW,
    ExportRequest,
    FileContent,
    Format,
    csv_for_terminal,
    csv_header,
    load_state,
    save_state,
    scan_file,
    state_path,
)
from event_service.cli.failures import RETRY_SECONDS, USAGE, Failure
from event_service.cli.filters import HELP, parse_filters
from event_service.cli.options import takes_connection
from event_service.cli.output import progress_bar, say
from event_service.query.dates import time_difference
from event_service.rpc.query_decode import message_to_dict
from event_service.wire.timestamps import format_timestamp

_ATTEMPTS = 30
_INTERRUPTED = 130  # exit status of a command ended by Ctrl-C, as in shells


@takes_connection
def export(
    connection: Connection,
    condition: Annotated[
        list[str] | None, typer.Argument(metavar="CONDITION", help=HELP, autocompletion=event_conditions)
    ] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="csv|ndjson",
            help="Default: the extension of the file, else csv.",
            autocompletion=export_formats,
        ),
    ] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help="Received at or after this time: 2h, 2026-01-31.")] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Received before this time.")] = "",
    keyword: Annotated[str, typer.Option(help="Search words in ids and titles.")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="New file. Default: standard output.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Resume an interrupted export into the file; start it if the file does not exist."
        ),
    ] = False,
) -> None:
    """Write all matching events, oldest first, as CSV or as one JSON object per line.

    Run the same command with --resume to continue an interrupted export. In CSV, cells that a spreadsheet would
    evaluate as formulas are prefixed with an apostrophe.

    Example: event-service event export --since 7d severity=CRITICAL --output critical.csv
    """
    typed = [*(condition or ())]
    typed += [f"{name}={value}" for name, value in (("since", since), ("until", until)) if value]
    chosen = _format(format_, output)
    query: dict[str, Any] = {"filter": [_absolute(each) for each in parse_filters(typed)]}
    if keyword:
        query["keyword"] = keyword
        typed.append(f"--keyword {keyword}")
    asked = ExportRequest(chosen, typed, query)
    if output is None:
        if resume:
            raise Failure("--resume needs --output FILE.", exit_code=USAGE)
        _to_standard_output(connection, asked)
    else:
        known = _interrupted(output, asked, format_) if resume else None
        if known is None and resume and output.exists():
            say(f"{output} is complete; nothing to resume.", stderr=True)
            return
        _to_file(connection, known or asked, output, resume=known is not None)


def _format(named: str, output: Path | None) -> Format:
    if named not in ("", *ROW):
        raise Failure(f"--format {named} is not supported.", "Use csv or ndjson.", exit_code=USAGE)
    ending = output.suffix.lower() if output else ""
    return "ndjson" if named == "ndjson" or (not named and ending in (".ndjson", ".jsonl")) else "csv"


def _absolute(condition: dict[str, Any]) -> dict[str, Any]:
    """Replace a relative time such as `now-2h` by its date, so that a resumed export selects the same events."""
    operator = str(condition["o"])
    if not operator.startswith("timediff_"):
        return condition
    moment = time_difference(condition["v"], "", datetime.now(UTC))
    return {**condition, "v": format_timestamp(moment), "o": operator.replace("timediff_", "datetime_")}


def _to_standard_output(connection: Connection, asked: ExportRequest) -> None:
    try:
        with progress_bar(shown=not sys.stdout.isatty()) as bar:
            heading = csv_header() if asked.format == "csv" else b""
            _write_rows(connection, asked, sys.stdout.buffer, FileContent(), bar, heading)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader has closed the pipe, as `head` does. Python would raise again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None


def _interrupted(path: Path, asked: ExportRequest, format_: str) -> ExportRequest | None:
    """Return the request of an interrupted export, or None."""
    try:
        known = load_state(path)
    except (OSError, ValueError) as error:
        raise Failure(f"Cannot read {state_path(path)}: {error}.", "Start again with another file.") from error
    if known is None:
        return None
    other = (asked.typed and list(asked.typed) != list(known.typed)) or (format_ and format_ != known.format)
    if other:
        before = " ".join(known.typed) or "no conditions"
        raise Failure(
            f"{path} was started with other conditions or another format.",
            f"It was started as {known.format} with {before}. Give the same or none, or use another file.",
            exit_code=USAGE,
        )
    return known


def _to_file(connection: Connection, asked: ExportRequest, path: Path, *, resume: bool) -> None:
    file, written = _open(path, asked, resume=resume)
    with file:
        if asked.format == "csv" and not written.length:
            file.write(csv_header())
        try:
            with progress_bar() as bar:
                _write_rows(connection, asked, file, written, bar)
        except KeyboardInterrupt:
            say(f"Interrupted. {_resume_hint(path, written)}", stderr=True)
            raise typer.Exit(_INTERRUPTED) from None
        except Failure as failure:
            if not written.rows:
                path.unlink()
                state_path(path).unlink(missing_ok=True)
                raise
            hint = f"{failure.hint}\n{_resume_hint(path, written)}".strip()
            raise Failure(failure.message, hint, exit_code=failure.exit_code) from failure.__cause__
        except OSError as error:
            raise Failure(f"Cannot write {path}: {error.strerror}.", _resume_hint(path, written)) from error
        file.flush()
        os.fsync(file.fileno())
    state_path(path).unlink(missing_ok=True)
    say(f"{path} contains {_number(written.rows)}.", stderr=True)


def _open(path: Path, asked: ExportRequest, *, resume: bool) -> tuple[BinaryIO, FileContent]:
    """Open the file at the end of its last complete record; return it and its content.

    The state file is written first, so that any file of an export can be resumed.
    """
    try:
        if not resume:
            if path.exists():
                raise Failure(f"{path} exists.", "Use another file, or resume an interrupted export with --resume.")
            save_state(path, asked)
            return path.open("xb"), FileContent()
        file = path.open("r+b" if path.exists() else "w+b")
        written = scan_file(file, asked.format)
        file.seek(written.length)
        file.truncate()
    except OSError as error:
        raise Failure(f"Cannot write {path}: {error.strerror}.", exit_code=USAGE) from error
    except ValueError as error:
        raise Failure(f"Cannot resume {path}: {error}.", "Start again with another file.") from error
    return file, written


def _write_rows(
    connection: Connection,
    asked: ExportRequest,
    file: BinaryIO,
    written: FileContent,
    bar: Progress,
    heading: bytes = b"",
) -> None:
    """Write the heading and the missing rows, and count them in `written`; write nothing if the server refuses."""
    total = _total(connection, asked.query) if not bar.disable else None
    task = bar.add_task("events", total=total, completed=written.rows)
    row = ROW[asked.format]
    is_csv_on_terminal = asked.format == "csv" and file.isatty()
    for reply in _replies(connection, asked.query, written.token):
        rows = []
        for event in reply.results:
            if event.event_id not in written.last_ids:
                rows.append(row(message_to_dict(event, "")))
        written_rows = b"".join(rows)
        file.write(heading + (csv_for_terminal(written_rows) if is_csv_on_terminal else written_rows))
        heading = b""
        file.flush()  # in the page cache, so that it survives a kill
        written.rows += len(rows)
        bar.update(task, completed=written.rows)
    file.write(heading)


def _replies(connection: Connection, query: Mapping[str, Any], token: str) -> Iterator[events_pb2.ExportResponse]:
    """Yield the server's replies; resume after the last one when the server restarts."""
    started, failures = bool(token), 0
    while True:
        try:
            for reply in connection.messages(EVENTS, "Export", {"query": {"query": query}, "resume_token": token}):
                assert isinstance(reply, events_pb2.ExportResponse)  # noqa: S101 - for mypy
                yield reply
                token, started, failures = reply.resume_token, True, 0
        except Failure as failure:
            failures += 1
            if not started or not failure.is_transient or failures > _ATTEMPTS:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return


def _total(connection: Connection, query: Mapping[str, Any]) -> int | None:
    """Return the number of events to export; None if counting exceeds the deadline."""
    try:
        body = connection.call(EVENT, "list", {"query": {**query, "count_only": True}}).body
    except Failure as failure:
        if failure.is_timeout:
            return None
        raise
    return int(body.get("total_count", 0))


def _resume_hint(path: Path, written: FileContent) -> str:
    return f"{path} contains {_number(written.rows)} so far; run the same command with --resume to continue."


def _number(events: int) -> str:
    return f"{events} event{'' if events == 1 else 's'}"
