"""Retention: the webhook overrides the severity, which overrides the setting."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from event_service.errors import InvalidArgument
from event_service.model.event import Event, EventDraft, Severity
from event_service.model.retention import LONGEST_RETENTION_DAYS, Retention, days_of_option
from event_service.settings import SEVERITIES, Settings
from event_service.store.documents import event_document
from event_service.store.object_ids import new_object_id, object_id_of
from event_service.webhooks.options import check_options

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOME = Retention(30, {"INFO": 7, "CRITICAL": 0})


@pytest.mark.parametrize(
    ("severity", "options", "days"),
    [
        ("WARNING", {}, 30),
        ("INFO", {}, 7),
        ("CRITICAL", {}, 0),
        ("INFO", {"retention_days": 90.0}, 90),
        ("CRITICAL", {"retention_days": 1}, 1),
        ("INFO", {"retention_days": 0}, 0),
        # An upstream database may hold anything under the name; it then says nothing.
        ("INFO", {"retention_days": "a year"}, 7),
        ("INFO", {"retention_days": True}, 7),
        ("INFO", {"retention_days": None}, 7),
    ],
)
def test_more_specific_retention_wins(severity: str, options: dict[str, Any], days: int) -> None:
    assert SOME.days_of(severity, options) == days
    assert SOME.expire_at(NOON, severity, options) == (NOON + timedelta(days=days) if days else None)


def event(severity: Severity) -> Event:
    return Event("event-1", EventDraft("k", severity=severity), "d", "w", "p", "webhook-1", NOON)


def document(event: Event) -> dict[str, Any]:
    return event_document(event, object_id_of(new_object_id()))


def test_event_carries_its_time_of_deletion() -> None:
    events = [event(Severity.INFO), event(Severity.CRITICAL)]
    SOME.stamp(events, {})
    assert document(events[0])["expire_at"] == NOON + timedelta(days=7)
    assert "expire_at" not in document(events[1])


def test_document_without_retention_is_unchanged() -> None:
    kept = event(Severity.INFO)
    Retention().stamp([kept], {})
    assert "expire_at" not in document(kept)
    Retention().stamp([kept], {"retention_days": 2.0})
    assert document(kept)["expire_at"] == NOON + timedelta(days=2)


@pytest.mark.parametrize("value", [-1, 0.5, LONGEST_RETENTION_DAYS + 1, float("nan"), float("inf"), True, "7", None])
def test_invalid_option_is_refused_on_write(value: Any) -> None:
    assert days_of_option(value) is None
    with pytest.raises(InvalidArgument, match=r"plugin_info\.options\.retention_days"):
        check_options("auto", {"retention_days": value})


def test_longest_retention_fits_into_a_date() -> None:
    check_options("auto", {"retention_days": LONGEST_RETENTION_DAYS})
    assert Retention(LONGEST_RETENTION_DAYS).expire_at(NOON, "INFO", {})


def test_setting_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENT_SERVICE_RETENTION_BY_SEVERITY", "info=7, CRITICAL=365,")
    assert Settings().retention_by_severity == {"INFO": 7, "CRITICAL": 365}
    monkeypatch.setenv("EVENT_SERVICE_RETENTION_BY_SEVERITY", "")
    assert Settings().retention_by_severity == {}


@pytest.mark.parametrize("text", ["INFO", "INFO=x", "INFO=-1", "INFO=1=2", "LOUD=1", "INFO=1,info=2", "INFO=36501"])
def test_invalid_setting_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENT_SERVICE_RETENTION_BY_SEVERITY", text)
    with pytest.raises(ValidationError, match="retention_by_severity"):
        Settings()


def test_setting_accepts_every_severity() -> None:
    assert set(SEVERITIES) == set(Severity)
    assert Settings.model_fields["retention_days"].metadata[-1].le == LONGEST_RETENTION_DAYS
