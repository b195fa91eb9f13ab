"""Amazon CloudWatch alarms, metric and composite, through SNS and EventBridge.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-notification-schemas.html
and https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
"""

from datetime import UTC, datetime
from typing import Any

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize.aws_arn import read_arn
from event_service.normalize.fields import extra_fields, first, mapping, objects, text, texts, upstream_key
from event_service.normalize.result import Fault, Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.splitting import single
from event_service.normalize.timestamps import moment

INSUFFICIENT_DATA = "insufficient data"

_STATE_CHANGE = "CloudWatch Alarm State Change"
_STATES = {
    "ALARM": (EventType.ALERT, Severity.ERROR),
    "OK": (EventType.RECOVERY, Severity.INFO),
    # Neither alarm nor recovery: missing data must not resolve anything.
    "INSUFFICIENT_DATA": (EventType.ALERT, Severity.NOT_AVAILABLE),
}


def detect(payload: Json, _headers: Headers) -> bool:
    return isinstance(payload, dict) and "AlarmName" in payload and "NewStateValue" in payload


def detect_eventbridge(payload: Json, _headers: Headers) -> bool:
    return isinstance(payload, dict) and payload.get("detail-type") == _STATE_CHANGE


def parse(payload: Json, _headers: Headers, options: Options, _received_at: datetime) -> Parsed:
    """Return the event of an alarm without its SNS envelope (raw message delivery)."""
    return parse_alarm(payload, options, topic_arn="")


def parse_alarm(payload: Json, options: Options, *, topic_arn: str) -> Parsed:
    """Return the event of an alarm's state change.

    Args:
        options: `ignore_insufficient_data` (bool) leaves INSUFFICIENT_DATA out.
        topic_arn: provides the region of an alarm without an AlarmArn: its own `Region` is a display name.
    """
    alarm = object_of(payload)
    state = text(alarm.get("NewStateValue"))
    name = text(alarm.get("AlarmName"))
    event_type, severity = _read_state(state, "NewStateValue")
    if state == "INSUFFICIENT_DATA" and options.get("ignore_insufficient_data") is True:
        return single(alarm, INSUFFICIENT_DATA)
    account = text(alarm.get("AWSAccountId"))
    arn = text(alarm.get("AlarmArn"))
    # Upstream keys by ARN: rebuild a missing one to get the same key.
    if not arn:
        if not name:
            raise ParseError.at("AlarmName", "must be given")
        topic = read_arn(topic_arn)
        region = topic.region or text(alarm.get("Region"))
        arn = f"arn:{topic.partition or 'aws'}:cloudwatch:{region}:{account}:alarm:{name}"
    trigger = mapping(alarm.get("Trigger"))
    children = [text(child.get("Arn")) for child in objects(alarm.get("TriggeringChildren"))]
    draft = EventDraft(
        # The ARN alone: state and time differ between alarm and recovery.
        event_key=upstream_key(arn),
        event_type=event_type,
        title=name or arn,
        description=_description(alarm.get("AlarmDescription"), alarm.get("NewStateReason")),
        severity=severity,
        rule=name,
        resources=_dimension_values(trigger) or texts(children),
        provider="aws",
        account=account or read_arn(arn).account,
        additional_info=extra_fields(
            alarm_arn=arn,
            state=state,
            old_state=alarm.get("OldStateValue"),
            region=alarm.get("Region"),
            namespace=trigger.get("Namespace"),
            metric_name=trigger.get("MetricName"),
            alarm_rule=alarm.get("AlarmRule"),
        ),
        occurred_at=moment(alarm.get("StateChangeTime"), UTC),
    )
    return single(alarm, draft)


def parse_eventbridge(payload: Json, _headers: Headers, options: Options, _received_at: datetime) -> Parsed:
    """Return the event of an alarm that EventBridge delivered, under the same key as through SNS."""
    event = object_of(payload)
    detail = mapping(event.get("detail"))
    alarm_state = mapping(detail.get("state"))
    configuration = mapping(detail.get("configuration"))
    state = text(alarm_state.get("value"))
    event_type, severity = _read_state(state, "detail.state.value")
    if state == "INSUFFICIENT_DATA" and options.get("ignore_insufficient_data") is True:
        return single(event, INSUFFICIENT_DATA)
    name = text(detail.get("alarmName"))
    account = text(event.get("account"))
    arn = next(iter(texts(event.get("resources"))), "")
    if not arn:
        if not name:
            raise ParseError(
                [Fault("resources", "must hold the alarm's ARN"), Fault("detail.alarmName", "must be given")]
            )
        arn = f"arn:aws:cloudwatch:{text(event.get('region'))}:{account}:alarm:{name}"
    metrics = [
        mapping(mapping(metric.get("metricStat")).get("metric")) for metric in objects(configuration.get("metrics"))
    ]
    dimensions = [value for metric in metrics for value in mapping(metric.get("dimensions")).values()]
    children = [text(child.get("arn")) for child in objects(detail.get("triggeringChildren"))]
    draft = EventDraft(
        event_key=upstream_key(arn),
        event_type=event_type,
        title=name or arn,
        description=_description(configuration.get("description"), alarm_state.get("reason")),
        severity=severity,
        rule=name,
        resources=texts(dimensions) or texts(children),
        provider="aws",
        account=account,
        additional_info=extra_fields(
            alarm_arn=arn,
            state=state,
            old_state=mapping(detail.get("previousState")).get("value"),
            region=event.get("region"),
            namespace=first(*(metric.get("namespace") for metric in metrics)),
            metric_name=first(*(metric.get("name") for metric in metrics)),
            alarm_rule=configuration.get("alarmRule"),
        ),
        occurred_at=moment(alarm_state.get("timestamp"), UTC) or moment(event.get("time"), UTC),
    )
    parsed = single(event, draft)
    parsed.source = "aws-cloudwatch"  # one name for an alarm through either service
    if event_id := text(event.get("id")):
        parsed.message_id = f"eventbridge:{event_id}"
    return parsed


def _read_state(state: str, path: str) -> tuple[EventType, Severity]:
    found = _STATES.get(state)
    if found is None:
        raise ParseError.at(path, f"must be one of {', '.join(_STATES)}")
    return found


def _dimension_values(trigger: Any) -> list[str]:
    """Return the dimensions of the metric, or of every metric of a metric math alarm. Expressions have none."""
    dimensions = objects(trigger.get("Dimensions"))
    for metric in objects(trigger.get("Metrics")):
        dimensions += objects(mapping(mapping(metric.get("MetricStat")).get("Metric")).get("Dimensions"))
    return texts([first(dimension.get("value"), dimension.get("Value")) for dimension in dimensions])


def _description(*parts: Json) -> str:
    return "\n".join(filter(None, map(text, parts)))
