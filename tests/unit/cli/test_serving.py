"""What `serve` prints after its start."""

import logging
from pathlib import Path

import pytest

from event_service.cli import announcement
from event_service.cli.connection import Connection
from event_service.cli.failures import Failure
from event_service.settings import Settings


def test_failed_quickstart_logged_and_serving_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        raise Failure("The query took too long. [ERROR_QUERY_TIMEOUT]", "Increase --timeout.")

    monkeypatch.setattr(Connection, "call", refuse)
    with caplog.at_level(logging.WARNING):
        announcement.print_quickstart(Settings(data_dir=tmp_path), "127.0.0.1:50051")
    assert "The query took too long" in caplog.text
    assert "--timeout" not in caplog.text, "serve has no such option"
    assert capsys.readouterr().out == ""
