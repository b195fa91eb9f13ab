"""Text bodies: the first line is the title and part of the key."""

from typing import Any

import pytest

from event_service.model.event import EventType
from event_service.normalize import build_parse_error_event, parse
from event_service.normalize.plain_text import title_of
from event_service.normalize.result import Parsed
from tests.unit.normalize.examples import RECEIVED

REASON = "the body is not JSON: Expecting value"


def read(text: str, plugin_id: str = "auto", content_type: str = "text/plain", **options: Any) -> Parsed:
    return parse(plugin_id, {"body": text}, {"content-type": content_type}, options, RECEIVED, not_json=REASON)


@pytest.mark.parametrize("plugin_id", ["auto", "generic", "text"])
def test_text_is_an_alert_with_its_first_line_as_title(plugin_id: str) -> None:
    parsed = read("\n--\n Disk full on db-1\nlast seen 12:00\n", plugin_id)
    (event,) = parsed.events
    assert (event.title, event.event_type, parsed.source) == ("Disk full on db-1", EventType.ALERT, "text")
    assert "last seen 12:00" in event.description
    assert event.raw_data == {"body": "\n--\n Disk full on db-1\nlast seen 12:00\n"}


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("<html><head><style>p{}</style><title>Backup</title></head><p>failed</p>", "Backup"),
        (
            "<!DOCTYPE html>\n<SCRIPT>var a = '<p>';</SCRIPT ><div>Backup&nbsp;of <b>db&amp;1</b><br>failed",
            "Backup\xa0of db&1",
        ),
        ("<p>a <b", "a <b"),
        ("<script>never closed", "never closed"),
        ("\x1b[31mDisk\x1b[0m full\x07", "Disk full"),
        ("a < b and c > d", "a < b and c > d"),
        ("***\n---", ""),
        ("x" * 1000, "x" * 250),
    ],
)
def test_title(text: str, title: str) -> None:
    assert title_of(text) == title


def test_different_lines_are_different_conditions_whatever_their_time() -> None:
    def key(text: str) -> str:
        (event,) = read(text).events
        return event.event_key

    assert key("2026-03-01 10:00:00 Disk full on db-1") == key("2026-03-01T10:05:00.5Z Disk full on db-1\nmore")
    assert key("[FIRING] Disk full on db-1") == key("Disk full on db-1")
    assert key("Disk full on db-1") != key("Disk full on db-2")
    assert key("10.0.0.1 is down") != key("10.0.0.2 is down")


def test_a_json_text_is_text() -> None:
    (event,) = parse("auto", "Disk full", {}, {}, RECEIVED).events
    assert (event.title, event.raw_data) == ("Disk full", {"body": "Disk full"})


@pytest.mark.parametrize(
    ("text", "plugin_id", "content_type"),
    [
        ("Disk full", "auto", "application/json"),
        ("Disk full", "alertmanager", "text/plain"),
        ('{"title": "Disk full"', "auto", "text/plain"),
    ],
)
def test_what_was_meant_to_be_json_is_a_fault_per_first_line(text: str, plugin_id: str, content_type: str) -> None:
    (item,) = read(text, plugin_id, content_type).bad_items
    event = build_parse_error_event(item, webhook_id="w", webhook_name="n")
    assert (event.event_type, event.title, event.description) == (EventType.ERROR, text, REASON)
    (other,) = read(text.replace("Disk", "Cooler"), plugin_id, content_type).bad_items
    assert build_parse_error_event(other, webhook_id="w", webhook_name="n").event_key != event.event_key
    assert build_parse_error_event(item, webhook_id="v", webhook_name="n").event_key != event.event_key


def test_mapping_reads_json_only() -> None:
    assert read("Disk full", mapping={"title": "title"}).bad_items[0].first_line == "Disk full"
