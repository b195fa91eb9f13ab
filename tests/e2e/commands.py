"""The command line in this process, against the shared service: quick, and without a terminal."""

import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from event_service import cli
from tests.e2e.service import Service


@dataclass(frozen=True)
class Run:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


CommandLine = Callable[..., Run]


@pytest.fixture
def run(service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Runs `event-service ARGUMENTS` in this process against the shared service."""
    for name in [name for name in os.environ if name.startswith("EVENT_SERVICE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EVENT_SERVICE_SERVER", service.grpc_address)
    monkeypatch.setenv("EVENT_SERVICE_DATA_DIR", str(service.data_dir))

    def run(*arguments: str, stdin: str = "") -> Run:
        monkeypatch.setattr("sys.argv", ["event-service", *arguments])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Run(int(ended.value.code or 0), captured.out, captured.err)

    return run
