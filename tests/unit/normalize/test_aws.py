"""Amazon SNS, CloudWatch, Health and EventBridge."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from event_service.model.event import EventType, Severity
from event_service.normalize.fields import upstream_key
from tests.unit.normalize.examples import ABSENT, example, fault_paths, first_event, read, sns_message

ARN = "arn:aws:cloudwatch:eu-central-1:210987654321:alarm:orders-queue-depth"


def alarm(**changes: Any) -> dict[str, Any]:
    inner: dict[str, Any] = json.loads(example("aws-sns-cloudwatch-alarm")["Message"])
    inner.update(changes)
    return {name: value for name, value in inner.items() if value is not ABSENT}


def test_the_key_of_an_alarm_is_upstreams() -> None:
    assert first_event(example("aws-sns-cloudwatch-alarm")).event_key == upstream_key(ARN)


def test_missing_alarm_arn_rebuilt() -> None:
    """The region comes from the topic: the alarm's own is a display name."""
    assert first_event(sns_message(**alarm(AlarmArn=ABSENT))).event_key == upstream_key(ARN)


def test_alarm_arn_has_partition_of_topic() -> None:
    message = sns_message(**alarm(AlarmArn=ABSENT)) | {"TopicArn": "arn:aws-cn:sns:cn-north-1:210987654321:ops"}
    expected = "arn:aws-cn:cloudwatch:cn-north-1:210987654321:alarm:orders-queue-depth"
    assert first_event(message).additional_info["alarm_arn"] == expected


def test_an_alarm_may_come_without_its_envelope() -> None:
    parsed = read(alarm(), headers={"x-amz-sns-message-id": "m-7"})
    assert parsed.events[0].event_key == upstream_key(ARN)
    assert parsed.message_id == "sns:m-7"


def test_every_dimension_of_every_metric_is_a_resource_of_one_event() -> None:
    metrics = [
        {
            "Id": "m1",
            "MetricStat": {"Metric": {"Dimensions": [{"name": "A", "value": "a"}, {"Name": "B", "Value": "b"}]}},
        },
        {"Id": "m2", "MetricStat": {"Metric": {"Dimensions": [{"name": "A", "value": "a"}]}}},
        {"Id": "e1", "Expression": "m1/m2"},
    ]
    parsed = read(sns_message(**alarm(Trigger={"Metrics": metrics})))
    assert len(parsed.events) == 1
    assert parsed.events[0].resources == ["a", "b"]


def test_insufficient_data_is_alert_and_can_be_ignored() -> None:
    payload = example("aws-sns-cloudwatch-insufficient")
    assert first_event(payload).event_type is EventType.ALERT
    parsed = read(payload, {"ignore_insufficient_data": True})
    assert (parsed.events, parsed.ignored) == ([], ["insufficient data"])


def test_unknown_alarm_state_is_fault() -> None:
    parsed = read(sns_message(**alarm(NewStateValue="ODD")))
    assert fault_paths(parsed) == ["NewStateValue"]
    assert parsed.bad_items[0].raw_data["Type"] == "Notification"


@pytest.mark.parametrize("message", ["42", '"text"', "null", "[1, 2]", "[]", "{not json", "[" * 100_000])
def test_non_object_message_is_text(message: str) -> None:
    event = first_event(sns_message() | {"Message": message, "Subject": "Backup"})
    assert (event.title, event.description, event.severity) == ("Backup", message, Severity.INFO)


def test_text_without_subject_titled_by_first_line() -> None:
    one, again, other = (
        first_event(sns_message() | {"Message": message}).event_key
        for message in ("Disk full\n97 %", "Disk full\n98 %", "Disk gone\n97 %")
    )
    assert one == again != other


def test_tool_json_in_sns_envelope_parsed_by_its_tool() -> None:
    parsed = read(sns_message(**example("alertmanager-firing")))
    assert [event.event_key for event in parsed.events] == ["53b6ab7d2f3d9d70", "9a0c3dcf7ab1f0e1"]
    assert [len(json.loads(event.raw_data["Message"])["alerts"]) for event in parsed.events] == [1, 1]
    assert parsed.source == "alertmanager"


def test_unknown_json_in_sns_envelope_titled_by_subject() -> None:
    event = first_event(sns_message(foo=1) | {"Subject": "Odd"})
    assert (event.title, event.description) == ("Odd", '{"foo": 1}')


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ('{"event_key": "a", "additional_info": {"v": NaN}}', "Message"),
        ('{"event_key": "a", "additional_info": {"v": 1e999}}', "Message"),
        ('{"event_key": "a", "title": "\\udc00"}', "Message"),
        ('{"results": [{"event_key": "a\\ud83d"}, {"event_key": "b"}]}', "Message"),
        ('{"event_key": "a", "additional_info": ' + '{"a":' * 120 + "1" + "}" * 121, "additional_info"),
    ],
    ids=["NaN", "infinite", "half a pair", "half a pair in a batch", "deep"],
)
def test_unstorable_message_content_is_fault_with_message_kept(message: str, path: str) -> None:
    payload = sns_message() | {"Message": message}
    parsed = read(payload)
    assert (parsed.events, fault_paths(parsed)) == ([], [path])
    assert (parsed.bad_items[0].raw_data, parsed.message_id) == (payload, "sns:m-1")


def test_an_empty_message_is_a_fault() -> None:
    assert fault_paths(read(sns_message() | {"Message": " "})) == ["Message"]


def test_subscription_offers_event_with_link() -> None:
    message = example("aws-sns-subscription")
    parsed = read(message)
    assert (parsed.events, parsed.ignored) == ([], ["subscription confirmation"])
    assert parsed.subscription is not None
    assert parsed.subscription.message == message
    event = parsed.subscription.event
    assert message["SubscribeURL"] in event.description
    assert event.additional_info["subscribe_url"] == message["SubscribeURL"]
    assert event.raw_data == message


@pytest.mark.parametrize("enveloped", [False, True])
def test_subscription_in_list_becomes_event_with_link(enveloped: bool) -> None:
    message = example("aws-sns-subscription")
    payload = sns_message() | {"Message": json.dumps([message])} if enveloped else [message, message]
    parsed = read(payload)
    assert [event.additional_info["subscribe_url"] for event in parsed.events] == [message["SubscribeURL"]] * (
        1 if enveloped else 2
    )
    assert (parsed.ignored, parsed.subscription) == ([], None)


def test_the_end_of_a_subscription_is_no_event_and_has_no_link() -> None:
    parsed = read({**example("aws-sns-subscription"), "Type": "UnsubscribeConfirmation"})
    assert (parsed.events, parsed.ignored) == ([], ["unsubscribe confirmation"])
    assert parsed.subscription is None


def test_a_health_event_belongs_to_the_account_it_affects() -> None:
    one, other = (
        first_event(example("aws-health-upcoming", detail__affectedAccount=account)) for account in ("1" * 12, "2" * 12)
    )
    assert one.event_key != other.event_key
    assert one.account == "1" * 12


def test_a_health_event_without_a_status_is_over_when_its_end_has_passed() -> None:
    over = example("aws-health-upcoming", detail__statusCode=ABSENT)
    assert first_event(over).event_type is EventType.RECOVERY
    not_yet = example("aws-health-upcoming", detail__statusCode=ABSENT, detail__endTime="Sat, 05 Dec 2026 00:00:00 GMT")
    assert first_event(not_yet).event_type is EventType.ALERT


def test_the_weekday_of_a_health_event_may_be_wrong() -> None:
    payload = example("aws-health-upcoming", detail__startTime="Mon, 15 Jun 2025 10:00:00 GMT")
    assert first_event(payload).occurred_at == datetime(2025, 6, 15, 10, tzinfo=UTC)


def test_the_pages_of_one_communication_are_deliveries_of_their_own() -> None:
    first, again, second = (
        read(example("aws-health-upcoming", id=event_id, detail__page=page)).message_id
        for event_id, page in (("a", "1"), ("b", "1"), ("c", "2"))
    )
    assert first == again != second


def test_a_health_event_needs_its_arn() -> None:
    assert fault_paths(read(example("aws-health-upcoming", detail__eventArn=None))) == ["detail.eventArn"]


@pytest.mark.parametrize(
    ("number", "severity"),
    [
        (9.5, Severity.CRITICAL),
        (7, Severity.ERROR),
        (4.0, Severity.WARNING),
        (2, Severity.INFO),
        ("high", Severity.ERROR),
    ],
)
def test_guard_duty_numeric_severities(number: Any, severity: Severity) -> None:
    assert first_event(example("aws-eventbridge-guardduty", detail__severity=number)).severity is severity
