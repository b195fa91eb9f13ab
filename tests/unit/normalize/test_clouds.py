"""Azure Monitor, Google Cloud Monitoring and Huawei Cloud Eye."""

from datetime import UTC, datetime
from typing import Any

import pytest

from event_service.model.event import EventType, Severity
from event_service.normalize.cloud_eye import event_of_item
from tests.unit.normalize.examples import ABSENT, example, fault_paths, first_event, read


@pytest.mark.parametrize(
    ("written", "severity"),
    [
        ("Sev0", Severity.CRITICAL),
        ("Sev1", Severity.ERROR),
        ("sev2", Severity.WARNING),
        ("Sev3", Severity.INFO),
        ("Sev4", Severity.INFO),
        (None, Severity.WARNING),
        ("Informational", Severity.INFO),
        ("Verbose", Severity.INFO),
        ("odd", Severity.NOT_AVAILABLE),
    ],
)
def test_azures_severities(written: str | None, severity: Severity) -> None:
    assert first_event(example("azure-fired", data__essentials__severity=written)).severity is severity


def test_azure_without_configuration_items_names_the_targets() -> None:
    assert first_event(example("azure-fired", data__essentials__configurationItems=[])).resources == ["shop-vm-1"]


def test_azure_budget_alert_with_null_fields() -> None:
    essentials = {"alertId": "b-1", "monitoringService": "CostAlerts", "description": "Your spend is 90 %"}
    essentials |= dict.fromkeys(
        ["severity", "alertRule", "signalType", "monitorCondition", "alertTargetIDs", "originAlertId"]
    )
    context = {"AlertData": {"Scope": "/subscriptions/0b1c/", "BudgetName": "shop-monthly"}}
    event = first_event(example("azure-fired", data={"essentials": essentials, "alertContext": context}))
    assert (event.title, event.account, event.severity) == ("shop-monthly", "0b1c", Severity.WARNING)
    assert event.description == "Your spend is 90 %"


def test_azure_takes_seven_digits_of_a_second() -> None:
    assert first_event(example("azure-fired")).occurred_at == datetime(2025, 4, 1, 10, 0, 0, 123000, tzinfo=UTC)


def test_azure_needs_an_id_of_the_alert() -> None:
    assert first_event(example("azure-fired", data__essentials__alertId=None)).event_key == "o-1"
    payload = example("azure-fired", data__essentials__alertId=None, data__essentials__originAlertId=None)
    assert fault_paths(read(payload)) == ["data.essentials.alertId"]
    assert fault_paths(read({**payload, "data": None})) == ["data.essentials.alertId"]


@pytest.mark.parametrize("state", ["OPEN", "Open", "open"])
def test_google_writes_states_in_any_case(state: str) -> None:
    assert first_event(example("gcp-open", incident__state=state)).event_type is EventType.ALERT
    closed = example("gcp-open", incident__state="CLOSED", incident__ended_at=0)
    assert first_event(closed).event_type is EventType.RECOVERY
    assert first_event(closed).occurred_at is None


def test_googles_severity_is_the_incidents_else_the_policys_else_warning() -> None:
    assert first_event(example("gcp-open", incident__severity="Error")).severity is Severity.ERROR
    assert first_event(example("gcp-open")).severity is Severity.CRITICAL
    assert first_event(example("gcp-open", incident__policy_user_labels=None)).severity is Severity.WARNING
    assert first_event(
        example("gcp-closed", incident__severity="No severity", incident__policy_user_labels={})
    ).severity is (Severity.INFO)


def test_google_incident_required() -> None:
    assert fault_paths(read(example("gcp-open", incident__incident_id=""))) == ["incident.incident_id"]


def item(**changes: Any) -> dict[str, Any]:
    payload: dict[str, Any] = example(
        "cloud-eye-items", **{f"0__detail__{name}": value for name, value in changes.items()}
    )[0]
    return payload


@pytest.mark.parametrize(
    ("level", "state", "severity"),
    [
        ("Critical", "normal", Severity.CRITICAL),
        ("Major", "normal", Severity.ERROR),
        ("Minor", "incident", Severity.WARNING),
        ("Info", "incident", Severity.INFO),
        (ABSENT, "incident", Severity.ERROR),
        (ABSENT, "warning", Severity.WARNING),
        (ABSENT, "normal", Severity.INFO),
        (ABSENT, ABSENT, Severity.NONE),
    ],
)
def test_cloud_eyes_level_wins_over_its_state(level: Any, state: Any, severity: Severity) -> None:
    assert first_event([item(event_level=level, event_state=state)]).severity is severity


def test_normal_is_recovery_only_after_warning_or_incident() -> None:
    for state, troubles, recovers in (("incident", True, False), ("warning", True, False), ("normal", False, True)):
        event = first_event([item(event_state=state)])
        assert event.event_type is EventType.ALERT
        assert (event.marks_trouble, event.recovers_if_troubled) == (troubles, recovers)


def test_the_key_names_the_condition_and_not_what_happened_to_it() -> None:
    key = first_event([item()]).event_key
    for changes in (
        {"content": "98 % used"},
        {"event_state": "normal"},
        {"event_level": "Minor"},
        {"event_user": "x"},
        {"group_id": "x"},
    ):
        assert first_event([item(**changes)]).event_key == key
    for changes in (
        {"resource_id": "ecs-1"},
        {"dimensions": [{"name": "disk", "value": "/"}]},
        {"dimensions": ABSENT},
    ):
        assert first_event([item(**changes)]).event_key != key


def test_the_order_of_dimensions_does_not_matter() -> None:
    a, b = {"name": "a", "value": "1"}, {"name": "b", "value": "2"}
    assert first_event([item(dimensions=[a, b])]).event_key == first_event([item(dimensions=[b, a])]).event_key


def test_an_item_by_cloud_eyes_own_api() -> None:
    event = event_of_item(item(), "0605767f1f80d5a42fc1c00a5d9e2a4b")
    assert event.title == "diskFull on db-1"
    assert event.resources == ["ecs-0042"]
    assert (event.provider, event.account) == ("huaweicloud", "0605767f1f80d5a42fc1c00a5d9e2a4b")
    assert event.rule == "shop.Database/diskFull"
    assert event.always_store
    assert event.event_key != event_of_item(item(), "other").event_key
    assert event.raw_data == item()


def test_a_single_item_and_a_bad_one() -> None:
    assert len(read(item()).events) == 1
    parsed = read([item(), {**item(), "event_name": ""}])
    assert len(parsed.events) == 1
    assert fault_paths(parsed) == ["[1].event_name"]
