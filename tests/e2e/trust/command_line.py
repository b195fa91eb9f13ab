"""The command line as a test uses it."""

import json
from typing import Any

import pytest

from event_service import cli


class CommandLine:
    """`event-service` in a separate folder, run in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def set(self, **settings: str) -> None:
        """Set environment variables."""
        for name, value in settings.items():
            self._monkeypatch.setenv(name, value)

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """Return its exit status, and what it prints on either stream."""
        self._monkeypatch.setattr("sys.argv", ["event-service", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = self._capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    def out(self, *arguments: object) -> str:
        """Run a command that must succeed; return its output."""
        status, out, err = self.run(*arguments)
        assert status == 0, err
        return out

    def json(self, *arguments: object) -> Any:
        return json.loads(self.out(*arguments, "--json"))

    def refusal(self, *arguments: object) -> str:
        """Run a command that must fail; return its error."""
        status, out, err = self.run(*arguments)
        assert status != 0, out
        return err
