"""Log formats, JSON and human-readable, and the redaction of secrets."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given

from event_service.telemetry.logging import HumanFormatter, JsonFormatter, redact, setup_logging
from tests.unit.reading_back import is_harmless, read_back, texts


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def untouched_root() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    logging.captureWarnings(False)
    root.setLevel(level)
    root.handlers[:] = handlers


log = logging.getLogger("event_service.test")


def test_json_record_with_extra_fields() -> None:
    stream = io.StringIO()
    setup_logging("info", stream)
    log.warning("refused %d\nof them", 2, extra={"webhook_id": "webhook-1", "seconds": 0.5, "ids": ("a", None)})
    log.debug("not shown")
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "warning",
        "logger": "event_service.test",
        "message": "refused 2\nof them",
        "webhook_id": "webhook-1",
        "seconds": 0.5,
        "ids": ["a", None],
    }


def test_traceback_in_exception_field() -> None:
    stream = io.StringIO()
    setup_logging("info", stream)
    try:
        int("mongodb://admin:hunter2@db/")
    except ValueError:
        log.exception("failed", extra={"level": "cannot be overwritten"})
    entry = json.loads(stream.getvalue())
    assert entry["level"] == "error"
    assert "ValueError" in entry["exception"]
    assert "hunter2" not in entry["exception"]


def test_terminal_gets_human_format() -> None:
    stream = Terminal()
    setup_logging("debug", stream)
    log.info("ready", extra={"port": 50051, "access_key": "canary"})
    line = stream.getvalue()
    assert "INFO" in line
    assert "ready" in line
    assert "50051" in line
    assert "canary" not in line


def test_last_setup_wins() -> None:
    first, second = io.StringIO(), io.StringIO()
    setup_logging("info", first)
    setup_logging("error", second)
    log.warning("quiet")
    log.error("loud")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    [
        "mongodb://user:canary@db.example/monitoring",
        "mongodb+srv://canary@db.example",
        "POST /monitoring/v1/webhook/webhook-1/canary/events HTTP/1.1",
        "POST /monitoring/v1/webhook/webhook-1/canary",
        "Authorization: Bearer canary",
        "authorization: canary",
        "bearer canary",
        "token=canary&x=1",
        "{'access_key': 'canary', 'x': 1}",
        '{"access_key":"canary"}',
        "access_key = canary",
        "EVENT_SERVICE_SECRET_KEY=canary",
        "eyJhbGciOiJFUzI1NiJ9.canary.canary",
    ],
)
def test_secrets_redacted(text: str) -> None:
    assert "canary" in text
    assert "canary" not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "ERROR_NOT_FOUND: Resource cannot be found or access is denied. (webhook_id = webhook-1)",
        "http://127.0.0.1:8080/monitoring/v1/event/list",
        "the token is missing, invalid or expired",
        "a@b.example wrote",
    ],
)
def test_other_text_unchanged(text: str) -> None:
    assert redact(text) == text


def test_secrets_in_fields_redacted() -> None:
    stream = io.StringIO()
    setup_logging("info", stream)
    log.info(
        "started",
        extra={"access_key": "canary", "headers": {"Authorization": "canary"}, "urls": ["mongodb://u:canary@x"]},
    )
    assert "canary" not in stream.getvalue()


def test_client_disconnects_logged_by_grpc_are_dropped() -> None:
    stream = io.StringIO()
    setup_logging("info", stream)
    grpc_log = logging.getLogger("grpc._cython.cygrpc")
    grpc_log.error("ExecuteBatchError raised in core by servicer method [/s.Event/get]")
    grpc_log.error("Unexpected [ValueError] raised by servicer method [/s.Event/get]")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == [
        "Unexpected [ValueError] raised by servicer method [/s.Event/get]"
    ]


@given(text=texts)
def test_log_lines_read_back(text: str) -> None:
    record = logging.makeLogRecord({"name": "n", "levelname": "INFO", "msg": text, "webhook_name": text, "ids": [text]})
    line = JsonFormatter().format(record)
    entry = json.loads(line)
    assert (entry["message"], entry["webhook_name"], entry["ids"]) == (redact(text), redact(text), [redact(text)])
    assert is_harmless(line)
    assert "\n" not in line
    human = re.sub("\x1b\\[[0-9;]*m", "", HumanFormatter().format(record))
    assert is_harmless(human)
    assert "\n" not in human
    assert read_back(human.partition(" webhook_name=")[2].partition(" ids=[")[0]) == redact(text)
