"""Commands that delete data or change many rows ask for confirmation, and fail without a terminal."""

from pathlib import Path

import pytest
import typer

from event_service import cli

COMMANDS = [
    ("webhook", "delete", "webhook-1", "--server", "127.0.0.1:1"),
    ("alert", "resolve", "alert-1", "alert-2", "--server", "127.0.0.1:1"),
    ("db", "prune"),
    ("db", "restore", "--replace", "absent.zip"),
]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVENT_SERVICE_DATA_DIR", str(tmp_path))


def status(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["event-service", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_yes_required_without_terminal(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(monkeypatch, *command) == 2
    assert "asks for confirmation" in capsys.readouterr().err
    status(monkeypatch, *command, "--yes")
    assert "asks for confirmation" not in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_no_aborts_in_terminal(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    def no(_question: str, *, abort: bool, err: bool) -> None:
        assert abort
        assert err
        raise typer.Abort

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", no)
    assert status(monkeypatch, *command) == 1
