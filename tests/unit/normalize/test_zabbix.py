"""Zabbix, nested and flat."""

from datetime import UTC, datetime

import pytest

from event_service.model.event import Severity
from event_service.normalize.fields import upstream_key
from tests.unit.normalize.examples import ABSENT, example, fault_paths, first_event, read


def test_the_key_is_upstreams() -> None:
    assert first_event(example("zabbix-problem")).event_key == upstream_key("10660", "90210")


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("Disaster", Severity.CRITICAL),
        ("High", Severity.ERROR),
        ("Average", Severity.WARNING),
        ("Warning", Severity.WARNING),
        ("Information", Severity.INFO),
        ("Not classified", Severity.NONE),
        ("5", Severity.CRITICAL),
        ("{EVENT.SEVERITY}", Severity.WARNING),
    ],
)
def test_severities_and_the_triggers_where_the_events_was_not_expanded(name: str, severity: Severity) -> None:
    payload = example("zabbix-problem", event__severity=name, trigger__severity="Average")
    assert first_event(payload).severity is severity


def test_unexpanded_macros_are_empty() -> None:
    payload = example("zabbix-problem", host__connection_info="{HOST.CONN}", event__name="{EVENT.NAME}")
    event = first_event(payload)
    assert event.resources == ["db-2"]
    assert event.title == "Free disk space is less than 10% on volume /"
    assert fault_paths(read(example("zabbix-problem", event__id="{EVENT.ID}"))) == ["event.id"]


def test_media_type_test_makes_no_event() -> None:
    assert read(example("zabbix-test", message="This is the test message from Zabbix")).ignored == ["test message"]
    flat = {name: f"{{{name.upper()}.X}}" for name in ("hostname", "trigger", "status", "severity", "item")}
    link = "https://zabbix.example/tr_events.php?triggerid={TRIGGER.ID}&eventid={EVENT.ID}"
    parsed = read({**flat, "link": link})
    assert (parsed.events, parsed.bad_items, parsed.ignored) == ([], [], ["test message"])


def test_times_are_local_to_the_server_and_count_only_where_its_zone_is_known() -> None:
    payload = example("zabbix-problem")
    assert first_event(payload).occurred_at is None
    assert first_event(payload, {"timezone": "Mars/Base"}).occurred_at is None
    assert first_event(payload, {"timezone": "Asia/Seoul"}).occurred_at == datetime(2025, 7, 1, 5, 0, 5, tzinfo=UTC)
    assert first_event(example("zabbix-resolved"), {"timezone": "Asia/Seoul"}).occurred_at == datetime(
        2025, 7, 1, 5, 30, 5, tzinfo=UTC
    )
    assert first_event(example("zabbix-problem", event__date="soon"), {"timezone": "UTC"}).occurred_at is None


def test_a_flat_payload_without_ids_in_its_link_is_known_by_host_and_trigger() -> None:
    one = first_event(example("zabbix-flat-problem", link=ABSENT)).event_key
    assert first_event(example("zabbix-flat-ok", link="https://[")).event_key == one
    assert first_event(example("zabbix-flat-problem")).event_key != one
    assert fault_paths(read(example("zabbix-flat-problem", link="", hostname="", trigger=""))) == ["hostname"]
