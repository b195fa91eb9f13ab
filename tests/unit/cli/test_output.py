"""Whatever texts a server returns or a user gives, each command prints them so that they can be read back."""

import io
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from event_service import cli
from event_service.cli.connection import Connection, Reply
from event_service.cli.db import check
from event_service.cli.doctor import Finding, report
from event_service.cli.failures import Failure
from event_service.printable import printable, printable_lines
from tests.unit.reading_back import is_harmless, read_back, texts

EVENT = {
    "event_id": "event-1", "event_type": "ALERT", "severity": "CRITICAL", "title": "T", "description": "D",
    "event_key": "K", "rule": "R", "resources": ["A", "B"], "provider": "P", "account": "C", "alert_id": "alert-1",
    "image_url": "I", "created_at": "2026-03-01T12:00:00.000Z", "occurred_at": "O",
}  # fmt: skip
ALERT = {
    "alert_id": "alert-1", "alert_number": 1, "title": "T", "state": "TRIGGERED", "severity": "CRITICAL",
    "assignee": "A", "resources": [{"name": "R"}], "created_at": "C", "updated_at": "U", "description": "D",
}  # fmt: skip
WEBHOOK = {
    "webhook_id": "W", "name": "N", "state": "ENABLED", "access_key": "KEY", "webhook_url": "U", "project_id": "P",
    "plugin_info": {"plugin_id": "native"}, "domain_id": "D", "workspace_id": "S", "created_at": "C",
}  # fmt: skip
APP = typer.main.get_command(cli.app)
"""The command line, built once."""

SETTINGS = settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def any_text(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {**fields, **dict.fromkeys(names)}


# Commands, each with a reply in which None stands for any text.
COMMANDS: list[tuple[list[str], Any]] = [
    (["event", "list"], {"results": [any_text(EVENT, "title", "event_id", "alert_id", "severity")]}),
    (["event", "get", "event-1"], any_text(EVENT, "title", "rule", "severity", "image_url", "description")),
    (["event", "tail", "-n", "1"], {"event": any_text(EVENT, "title", "severity")}),
    (["event", "stat", "--by", "title"], {"results": [{"title": None, "count": 1}]}),
    (["alert", "list"], {"results": [any_text(ALERT, "title", "assignee", "state", "severity")]}),
    (["alert", "get", "alert-1"], any_text(ALERT, "title", "description", "assignee", "state")),
    (["alert", "ack", "alert-1"], any_text(ALERT, "state")),
    (["alert", "stat", "--by", "title"], {"results": [{"title": None, "count": 1}]}),
    (["alert", "tail", "-n", "1"], {"change": "ALERT_CHANGE_OPENED", "alert": any_text(ALERT, "title", "state")}),
    (["event", "replay", "event-1"], {"event_ids": [None], "ignored": [None], "faults": [None]}),
    (["webhook", "get", "W"], any_text(WEBHOOK, "name", "state", "webhook_url", "project_id")),
    (["webhook", "list"], {"results": [any_text(WEBHOOK, "name", "state", "project_id")]}),
    (["webhook", "create", "--name", "N", "--project-id", "P"], any_text(WEBHOOK, "name")),
    (["webhook", "update", "W", "--name", "N"], any_text(WEBHOOK, "name", "domain_id")),
    (["webhook", "rotate-key", "W"], {"webhook": WEBHOOK, "previous_key_expires_at": None}),
    (["webhook", "stat"], {"results": [{"value": None, "count": 1}]}),
    (["webhook", "test", "W", "FILE"], {"events": [any_text(EVENT, "title", "event_key")], "parser": None}),
    (["webhook", "test", "W", "FILE"], {"faults": [None], "ignored": [None]}),
]


def filled(reply: Any, text: Any) -> Any:
    """Return the reply with the text in place of None."""
    if isinstance(reply, dict):
        return {name: filled(value, text) for name, value in reply.items()}
    if isinstance(reply, list):
        return [filled(value, text) for value in reply]
    return text if reply is None else reply


def run(monkeypatch: pytest.MonkeyPatch, arguments: list[str], reply: Any, encoding: str = "utf-8") -> tuple[str, int]:
    """Run a command whose server gives this reply; return what it prints, and its status."""

    def call(_self: Connection, _service: Any, method: str, _request: Any, _metadata: Any = None) -> Reply:
        if isinstance(reply, Exception):
            raise reply
        return Reply({} if method == "Count" else reply, {})

    def stream(_self: Connection, _service: Any, _method: str, _request: Any) -> Iterator[Mapping[str, Any]]:
        yield reply

    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with monkeypatch.context() as patch:
        patch.setattr(cli, "app", APP)
        patch.setattr(Connection, "call", call)
        patch.setattr(Connection, "stream", stream)
        patch.setattr(sys, "argv", ["event-service", *arguments])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", out)
        with pytest.raises(SystemExit) as ended:
            cli.main()
    out.flush()
    assert isinstance(ended.value.code, int)
    return out.buffer.getvalue().decode(encoding), ended.value.code  # type: ignore[attr-defined]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "payload.json"
    path.write_text("{}")
    return str(path)


@pytest.mark.parametrize(("arguments", "reply"), COMMANDS, ids=lambda value: str(value)[:40])
@given(text=texts)
@SETTINGS
def test_field_of_a_reply_read_back(
    monkeypatch: pytest.MonkeyPatch, file: str, arguments: list[str], reply: Any, text: str
) -> None:
    arguments = [file if argument == "FILE" else argument for argument in arguments]
    shown, status = run(monkeypatch, arguments, filled(reply, text))
    assert status == 0
    assert is_harmless(shown)
    # `get` keeps line breaks.
    parts = text.split("\n") if arguments[1] in ("get", "create", "update") else [text]
    printed = [read_back(line) for line in shown.splitlines()]
    assert all(any(part in line for line in printed) for part in parts)


@pytest.mark.parametrize(("arguments", "reply"), [([*a, "--json"], r) for a, r in COMMANDS], ids=lambda v: str(v)[:40])
@given(text=texts)
@settings(SETTINGS, max_examples=4)
def test_json_read_back(
    monkeypatch: pytest.MonkeyPatch, file: str, arguments: list[str], reply: Any, text: str
) -> None:
    arguments = [file if argument == "FILE" else argument for argument in arguments]
    for encoding in ("utf-8", "iso-8859-1"):
        shown, status = run(monkeypatch, arguments, filled(reply, text), encoding)
        assert status == 0
        assert is_harmless(shown)
        assert json.dumps(text) in json.dumps(json.loads(shown))


@given(st.lists(texts.filter(bool), min_size=1, max_size=3))
@SETTINGS
def test_resources_read_back(monkeypatch: pytest.MonkeyPatch, resources: list[str]) -> None:
    shown, _ = run(monkeypatch, ["event", "get", "event-1"], {"event_id": "event-1", "resources": resources})
    (line,) = (line for line in shown.splitlines() if line.startswith("resources"))
    assert [read_back(item) for item in line.removeprefix("resources").strip().split(", ")] == resources


@given(name=texts, value=texts)
@SETTINGS
def test_document_read_back(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    shown, _ = run(monkeypatch, ["event", "get", "event-1"], EVENT | {"raw_data": {name: [value]}})
    assert is_harmless(shown)
    assert json.loads(shown.partition("\nraw_data\n")[2]) == {name: [value]}


@given(message=texts, hint=texts)
@SETTINGS
def test_error_read_back(monkeypatch: pytest.MonkeyPatch, message: str, hint: str) -> None:
    shown, status = run(monkeypatch, ["event", "list"], Failure(message, hint))
    assert status == 1
    assert shown == f"error: {printable(message)}\n" + (f"{printable_lines(hint)}\n" if hint else "")


@given(text=texts)
@SETTINGS
def test_argument_read_back(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    shown, status = run(monkeypatch, ["event", "list", f"--x{text}"], {})
    assert status == 2
    assert is_harmless(shown)
    assert "event-service event list --help" in shown


@given(text=texts)
@SETTINGS
def test_finding_read_back(capsys: pytest.CaptureFixture[str], text: str) -> None:
    report([Finding(text, "warning", text, text)], as_json=False)
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    assert printable(text) in shown
    report([Finding(text, "warning", text, text)], as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["detail"] == text


def test_nothing_is_printed_past_the_output_module() -> None:
    folder = Path(str(sys.modules[check.__module__].__file__)).parent
    past = re.compile(r"typer\.s?echo|\bprint\(|Console\(|sys\.std(out|err)\.write")
    files = [path for path in folder.glob("*.py") if path.name != "output.py"]
    assert [path.name for path in files if past.search(path.read_text(encoding="utf-8"))] == []
