"""`event export` but for its file: formats, times, retries."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import ServiceDescriptor

from event_service._gen.event_service.v1 import events_pb2
from event_service.cli import export
from event_service.cli.connection import Connection
from event_service.cli.export_file import ExportRequest, csv_header
from event_service.cli.failures import Failure
from event_service.wire.timestamps import parse_timestamp


class Broken(grpc.RpcError):
    """An rpc error with a code."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


def failure(code: grpc.StatusCode) -> Failure:
    made = Failure(code.name)
    made.__cause__ = Broken(code)
    return made


class Server(Connection):
    """Answer each call with the next script: replies, then maybe a failure."""

    answers: list[list[str | Failure]]
    asked: list[str]

    def messages(
        self, service: ServiceDescriptor, method: str, request: Mapping[str, Any]
    ) -> Iterator[events_pb2.ExportResponse]:
        self.asked.append(request["resume_token"])
        for answer in self.answers.pop(0):
            if isinstance(answer, Failure):
                raise answer
            yield events_pb2.ExportResponse(resume_token=answer)


def export_replies(*answers: list[str | Failure], token: str = "") -> tuple[list[str], list[str]]:
    """Return the tokens that were export_replies, and those that were asked with."""
    server = Server.__new__(Server)
    server.answers, server.asked = list(answers), []
    return [reply.resume_token for reply in export._replies(server, {}, token)], server.asked


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "RETRY_SECONDS", 0)


AWAY, REFUSED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED


def test_export_resumes_after_server_restart() -> None:
    parts, asked = export_replies(["a", "b", failure(AWAY)], [failure(AWAY)], ["c"])
    assert (parts, asked) == (["a", "b", "c"], ["", "b", "b"])


def test_unreachable_server_fails_without_retry() -> None:
    with pytest.raises(Failure, match="UNAVAILABLE"):
        export_replies([failure(AWAY)], ["a"])


def test_a_resumed_export_waits_for_the_server() -> None:
    assert export_replies([failure(AWAY)], ["b"], token="a") == (["b"], ["a", "a"])


def test_refusal_ends_export() -> None:
    with pytest.raises(Failure, match="PERMISSION_DENIED"):
        export_replies(["a", failure(REFUSED)], ["b"])


def test_retries_are_limited() -> None:
    with pytest.raises(Failure, match="UNAVAILABLE"):
        export_replies(["a", failure(AWAY)], *[[failure(AWAY)]] * 100)


@pytest.mark.parametrize("answer", [[], ["a"]], ids=["no reply", "a reply"])
def test_heading_is_written_without_events(
    answer: list[str | Failure], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    to_standard_output(answer)
    assert capfdbinary.readouterr().out == csv_header()


def test_refused_export_writes_nothing(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with pytest.raises(Failure):
        to_standard_output([failure(REFUSED)])
    assert capfdbinary.readouterr().out == b""


def to_standard_output(answer: list[str | Failure]) -> None:
    server = Server.__new__(Server)
    server.answers, server.asked = [answer], []
    export._to_standard_output(server, ExportRequest("csv", [], {}))


@pytest.mark.parametrize(
    ("named", "path", "chosen"),
    [
        ("", None, "csv"),
        ("", "a.csv", "csv"),
        ("", "a", "csv"),
        ("", "a.ndjson", "ndjson"),
        ("", "a.JSONL", "ndjson"),
        ("csv", "a.ndjson", "csv"),
        ("ndjson", "a.csv", "ndjson"),
    ],
)
def test_the_format_follows_from_the_name(named: str, path: str | None, chosen: str) -> None:
    assert export._format(named, Path(path) if path else None) == chosen


def test_relative_time_becomes_absolute() -> None:
    condition = export._absolute({"k": "created_at", "v": "now-2h", "o": "timediff_gte"})
    assert condition["o"] == "datetime_gte"
    age = datetime.now(UTC) - parse_timestamp(condition["v"])
    assert timedelta(hours=2) <= age < timedelta(hours=2, minutes=5)
    other = {"k": "title", "v": "now-2h", "o": "eq"}
    assert export._absolute(other) == other
