"""`event-service event export`: everything that matches, into a file or a pipe."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import grpc
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from event_service._gen.event_service.v1 import events_pb2
from event_service.cli.completion import event_conditions, export_formats
from event_service.cli.connection import EVENT, EVENTS, Connection
from event_service.cli.export_file import (
    ROW,
    ExportRequest,
    FileContent,
    Format,
    csv_header,
    load_state,
    save_state,
    scan_file,
    state_path,
)
from event_service.cli.failures import RETRY_SECONDS, USAGE, Failure
from event_service.cli.filters import HELP, parse_filters
from event_service.cli.options import takes_connection
from event_service.cli.output import console
from event_service.query.dates import time_difference
from event_service.rpc.query_decode import message_to_dict
from event_service.wire.timestamps import format_timestamp

_ATTEMPTS = 30
_INTERRUPTED = 130  # what shells say of a command that Ctrl-C has ended


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
            help="By default what the file's name ends in, else csv.",
            autocompletion=export_formats,
        ),
    ] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help="Received since then: 2h, 2026-01-31.")] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Received before that.")] = "",
    keyword: Annotated[str, typer.Option(help="Words to look for in ids and titles.")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A new file. Without it: standard output.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with a file whose export was interrupted; begin it if there is none."),
    ] = False,
) -> None:
    """Write all events that match, the oldest first, as CSV or one JSON object a line.

    An export that was interrupted in any way goes on where it was when the same command is given with --resume. In CSV,
    cells that a spreadsheet would take for formulas begin with an apostrophe.

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
            console(stderr=True).print(f"{output} is complete; there is nothing to resume.", markup=False)
            return
        _to_file(connection, known or asked, output, resume=known is not None)


def _format(named: str, output: Path | None) -> Format:
    if named not in ("", *ROW):
        raise Failure(f"There is no format {named!r}.", "There are csv and ndjson.", exit_code=USAGE)
    ending = output.suffix.lower() if output else ""
    return "ndjson" if named == "ndjson" or (not named and ending in (".ndjson", ".jsonl")) else "csv"


def _absolute(condition: dict[str, Any]) -> dict[str, Any]:
    """The condition with a date for `now-2h`: an export that is resumed tomorrow is still about the same events."""
    operator = str(condition["o"])
    if not operator.startswith("timediff_"):
        return condition
    moment = time_difference(condition["v"], "", datetime.now(UTC))
    return {**condition, "v": format_timestamp(moment), "o": operator.replace("timediff_", "datetime_")}


def _to_standard_output(connection: Connection, asked: ExportRequest) -> None:
    try:
        with _bar(shown=not sys.stdout.isatty()) as bar:
            heading = csv_header() if asked.format == "csv" else b""
            _write_rows(connection, asked, sys.stdout.buffer, FileContent(), bar, heading)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` does. Python would complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None


def _interrupted(path: Path, asked: ExportRequest, format_: str) -> ExportRequest | None:
    """What an interrupted export was asked for; None where there is none."""
    try:
        known = load_state(path)
    except (OSError, ValueError) as error:
        raise Failure(f"{state_path(path)} cannot be read: {error}.", "Begin anew with another file.") from error
    if known is None:
        return None
    other = (asked.typed and list(asked.typed) != list(known.typed)) or (format_ and format_ != known.format)
    if other:
        before = " ".join(known.typed) or "no conditions"
        raise Failure(
            f"{path} was begun with other conditions or in another format.",
            f"It was begun as {known.format} with {before}. Give the same, or none, or name another file.",
            exit_code=USAGE,
        )
    return known


def _to_file(connection: Connection, asked: ExportRequest, path: Path, *, resume: bool) -> None:
    file, written = _open(path, asked, resume=resume)
    with file:
        if asked.format == "csv" and not written.length:
            file.write(csv_header())
        try:
            with _bar(shown=True) as bar:
                _write_rows(connection, asked, file, written, bar)
        except KeyboardInterrupt:
            console(stderr=True).print(f"Interrupted. {_resume_hint(path, written)}", markup=False)
            raise typer.Exit(_INTERRUPTED) from None
        except Failure as failure:
            if not written.rows:
                path.unlink()
                state_path(path).unlink(missing_ok=True)
                raise
            hint = f"{failure.hint}\n{_resume_hint(path, written)}".strip()
            raise Failure(failure.message, hint, exit_code=failure.exit_code) from failure.__cause__
        except OSError as error:
            raise Failure(f"{path} cannot be written: {error.strerror}.", _resume_hint(path, written)) from error
        file.flush()
        os.fsync(file.fileno())
    state_path(path).unlink(missing_ok=True)
    console(stderr=True).print(f"{path} holds {_number(written.rows)}.", markup=False)


def _open(path: Path, asked: ExportRequest, *, resume: bool) -> tuple[BinaryIO, FileContent]:
    """The file, at the end of its last whole record, and what it holds. The notes are there before it is."""
    try:
        if not resume:
            if path.exists():
                raise Failure(
                    f"{path} is there already.", "Name another file, or go on with an interrupted export by --resume."
                )
            save_state(path, asked)
            return path.open("xb"), FileContent()
        file = path.open("r+b" if path.exists() else "w+b")
        written = scan_file(file, asked.format)
        file.seek(written.length)
        file.truncate()
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}.", exit_code=USAGE) from error
    except ValueError as error:
        raise Failure(f"{path} cannot be gone on with: {error}.", "Begin anew with another file.") from error
    return file, written


def _write_rows(
    connection: Connection,
    asked: ExportRequest,
    file: BinaryIO,
    written: FileContent,
    bar: Progress,
    heading: bytes = b"",
) -> None:
    """Writes what is lacking, below the heading, and counts it in `written`. Nothing where it is refused."""
    total = _total(connection, asked.query) if not bar.disable else None
    task = bar.add_task("events", total=total, completed=written.rows)
    row = ROW[asked.format]
    for reply in _replies(connection, asked.query, written.token):
        rows = []
        for event in reply.results:
            if event.event_id not in written.last_ids:
                rows.append(row(message_to_dict(event, "")))
        file.write(heading + b"".join(rows))
        heading = b""
        file.flush()  # the system's now: no kill takes it away
        written.rows += len(rows)
        bar.update(task, completed=written.rows)
    file.write(heading)


def _replies(connection: Connection, query: Mapping[str, Any], token: str) -> Iterator[events_pb2.ExportResponse]:
    """The server's replies; goes on from the last one when it comes back from a restart."""
    begun, failures = bool(token), 0
    while True:
        try:
            for reply in connection.messages(EVENTS, "Export", {"query": {"query": query}, "resume_token": token}):
                assert isinstance(reply, events_pb2.ExportResponse)  # noqa: S101 - the method's own type
                yield reply
                token, begun, failures = reply.resume_token, True, 0
        except Failure as failure:
            failures += 1
            if not begun or not failure.is_transient or failures > _ATTEMPTS:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return


def _total(connection: Connection, query: Mapping[str, Any]) -> int | None:
    """How many events there are to be; None where counting takes too long."""
    try:
        body = connection.call(EVENT, "list", {"query": {**query, "count_only": True}}).body
    except Failure as failure:
        if isinstance(failure.__cause__, grpc.RpcError) and (
            failure.__cause__.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        ):
            return None
        raise
    return int(body.get("total_count", 0))


def _bar(*, shown: bool) -> Progress:
    """Progress on a terminal's standard error; nothing elsewhere."""
    err = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, transient=True, disable=not (shown and err.is_terminal))


def _resume_hint(path: Path, written: FileContent) -> str:
    return f"{path} holds {_number(written.rows)} so far; the same command with --resume goes on."


def _number(events: int) -> str:
    return f"{events} event{'' if events == 1 else 's'}"
