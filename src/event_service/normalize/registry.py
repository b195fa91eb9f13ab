"""The table of parsers, in the order of detection, and the names by which a webhook selects one.

A parser is one module with two pure functions, `detect(payload, headers)` and
`parse(payload, headers, options, received_at)`, and one row here.

Source: the order of detection is that of docs/collectors.md.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from event_service.normalize import (
    alertmanager,
    aws_cloudwatch,
    aws_eventbridge,
    aws_health,
    aws_sns,
    azure,
    cloud_eye,
    cloudevents,
    custom,
    datadog,
    gcp,
    generic,
    grafana,
    native,
    newrelic,
    opsgenie,
    pagerduty,
    sentry,
    zabbix,
)
from event_service.normalize.result import (
    MOST_EVENTS,
    MOST_FIELDS,
    BadItem,
    Fault,
    Headers,
    Json,
    Options,
    Parsed,
    Parser,
    Recogniser,
    Unreadable,
    check_members,
    object_of,
    raw_object,
    too_much,
)

AUTO = "auto"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ParserSpec:
    """One row of the table.

    Attributes:
        reads_text: whether the headers say that a body which is no JSON, a str then, is of this format.
    """

    name: str
    detect: Recogniser
    parse: Parser
    reads_text: Callable[[Headers], bool] = lambda _headers: False


def _read_inside_sns(payload: Json, options: Options, received_at: datetime) -> Parsed | None:
    """What a message in an SNS envelope is; None where not even the generic parser can read it."""
    row = _detected(_INSIDE_SNS, payload, {})
    if row is None:
        return None
    try:
        parsed = row.parse(payload, {}, options, received_at)
    except Unreadable:
        if row.parse is generic.parse:
            return None
        raise
    parsed.source = row.name
    return parsed


def _read_list(members: list[Json], headers: Headers, options: Options, received_at: datetime) -> Parsed:
    """Each member by the format it has; for a list that as a whole has none."""
    check_members(members)
    parsed = Parsed(ignored=[] if members else ["empty list"])
    fields = 0
    for index, member in enumerate(members):
        path = f"[{index}]"
        try:
            row = _detected(PARSERS, object_of(member, path), headers)
            part = row.parse(member, headers, options, received_at) if row else Parsed()
        except Unreadable as refusal:
            part = Parsed(bad_items=[BadItem(refusal.faults, raw_object(member))])
        for item in part.bad_items:
            item.faults = [fault if fault.path == path else fault.below(path) for fault in item.faults]
        if part.subscription is not None:  # SNS sends no lists: whoever did, the link is only to be kept
            part = Parsed(events=[part.subscription.event])
        parsed.events += part.events
        parsed.bad_items += part.bad_items
        parsed.ignored += part.ignored
        # Each member keeps to the bounds by itself; here they all do together.
        fields += sum(len(event.raw_data) for event in part.events) + sum(len(item.raw_data) for item in part.bad_items)
        if len(parsed.events) + len(parsed.bad_items) > MOST_EVENTS or fields > MOST_FIELDS:
            raise too_much("", f"holds more than the {MOST_EVENTS} events that one delivery makes at most")
    return parsed


# The order of automatic detection: the first that detects a payload reads it.
PARSERS = (
    ParserSpec("aws-sns", aws_sns.detect, partial(aws_sns.parse, read_inner=_read_inside_sns)),
    ParserSpec(
        "aws-sns-raw", aws_sns.recognise_raw, partial(aws_sns.parse_raw, read_inner=_read_inside_sns), aws_sns.is_raw
    ),
    ParserSpec("aws-cloudwatch", aws_cloudwatch.detect, aws_cloudwatch.parse),
    ParserSpec("aws-cloudwatch-eventbridge", aws_cloudwatch.recognise_eventbridge, aws_cloudwatch.parse_eventbridge),
    ParserSpec("aws-health", aws_health.detect, aws_health.parse),
    ParserSpec("aws-eventbridge", aws_eventbridge.detect, aws_eventbridge.parse),
    ParserSpec("grafana", grafana.detect, grafana.parse),
    ParserSpec("grafana-legacy", grafana.recognise_legacy, grafana.parse_legacy),
    ParserSpec("alertmanager", alertmanager.detect, alertmanager.parse),
    ParserSpec("azure", azure.detect, azure.parse),
    ParserSpec("gcp", gcp.detect, gcp.parse),
    ParserSpec("datadog", datadog.detect, datadog.parse),
    ParserSpec("zabbix", zabbix.detect, zabbix.parse),
    ParserSpec("pagerduty", pagerduty.detect, pagerduty.parse),
    ParserSpec("pagerduty-webhook", pagerduty.recognise_webhook, pagerduty.parse_webhook),
    ParserSpec("cloudevents", cloudevents.detect, cloudevents.parse, cloudevents.reads_text),
    ParserSpec("cloud-eye", cloud_eye.detect, cloud_eye.parse),
    ParserSpec("opsgenie", opsgenie.detect, opsgenie.parse),
    ParserSpec("newrelic", newrelic.detect, newrelic.parse),
    ParserSpec("sentry", sentry.detect, sentry.parse),
    ParserSpec("native", native.detect, native.parse),
    ParserSpec("generic", generic.detect, generic.parse),
)
_LIST = ParserSpec("list", lambda payload, _headers: isinstance(payload, list), _read_list)
_INSIDE_SNS = tuple(row for row in (*PARSERS, _LIST) if row.name != "aws-sns")
# Formats that people write by hand: equal bytes within a minute may be two events.
_WITHOUT_TIMES = frozenset({"native", "generic", "mapping", "list"})
MAPPING = ParserSpec("mapping", generic.detect, custom.parse)


def _formats(*names: str) -> tuple[ParserSpec, ...]:
    return tuple(row for row in PARSERS if row.name in names)


_BY_NAME: dict[str, tuple[ParserSpec, ...]] = {
    AUTO: (*PARSERS, _LIST),
    **{row.name: (row,) for row in (*PARSERS, MAPPING)},
    # One tool, several formats.
    "aws": tuple(row for row in PARSERS if row.name.startswith("aws-")),
    "grafana": _formats("grafana", "grafana-legacy"),
    "pagerduty": _formats("pagerduty", "pagerduty-webhook"),
}

# The ids of upstream's plugins whose format is built in here.
_ALIASES = {
    "": AUTO,
    "plugin-api-direct-mon-webhook": "native",
    "plugin-aws-cloudwatch-mon-webhook": "aws",
    "plugin-aws-phd-mon-webhook": "aws",
    "plugin-aws-sns-mon-webhook": "aws",
    "plugin-azure-monitor-mon-webhook": "azure",
    "plugin-datadog-mon-webhook": "datadog",
    "plugin-google-monitoring-mon-webhook": "gcp",
    "plugin-grafana-mon-webhook": "grafana",
    "plugin-prometheus-mon-webhook": "alertmanager",
    "plugin-zabbix-mon-webhook": "zabbix",
}


def known_names() -> list[str]:
    """The names a webhook's plugin_id may have without a remote plugin behind it, upstream's ids left out."""
    return sorted(_BY_NAME)


def canonical_name(plugin_id: str) -> str | None:
    """The built-in name behind a plugin_id or upstream's id of it; None for what only a remote plugin can parse."""
    name = _ALIASES.get(plugin_id, plugin_id)
    return name if name in _BY_NAME else None


def endpoint_of(plugin_id: str, options: Options, endpoints: Mapping[str, str]) -> str:
    """Where the webhook's remote plugin is (`grpc://host:port`), "" for a built-in parser.

    Args:
        options: of the webhook; its `endpoint` comes first.
        endpoints: the settings' table, plugin_id -> endpoint.
    """
    endpoint = options.get("endpoint")
    return endpoint if isinstance(endpoint, str) and endpoint else endpoints.get(plugin_id, "")


def parse(
    plugin_id: str, payload: Json, headers: Headers, options: Options, received_at: datetime, *, not_json: str = ""
) -> Parsed:
    """Reads a payload with a built-in parser; remote plugins are plugin.py's.

    Args:
        plugin_id: a name of the table, `auto`, or one of upstream's plugin ids.
        payload: any JSON value; numbers may be doubles. Of a body that is no JSON, `{"body": its text}`.
        headers: of the HTTP request or the rpc's metadata, names in lower case; {} where there are none.
        options: the webhook's.
        received_at: timezone-aware UTC.
        not_json: why the body is no JSON; only a format that its headers name reads it then. "" where it is JSON.

    Returns:
        Never an exception: what cannot be read is in `bad_items`, to be stored as `error_event(...)`.
    """
    name = canonical_name(plugin_id)
    text_format = _format_of_text(name, headers, options) if not_json else None
    if not_json and text_format is None:
        return Parsed(bad_items=[BadItem([Fault("", not_json, "not-json")], payload)])
    if name is None:
        fault = Fault("plugin_info.plugin_id", f"no parser is known by the name {plugin_id!r}", "unknown")
        return Parsed(bad_items=[BadItem([fault], raw_object(payload))])
    try:
        if text_format is not None:
            row, payload = text_format, payload["body"]
        else:
            row = MAPPING if name == AUTO and custom.given(options) else _select(name, payload, headers)
        parsed = row.parse(payload, headers, options, received_at)
    except Unreadable as refusal:
        return Parsed(bad_items=[BadItem(refusal.faults, raw_object(payload))], source=name)
    except Exception:
        # Parsers refuse by Unreadable only. Should one fail all the same, the payload must not be lost with it.
        _log.exception("parser %s failed", name)
        fault = Fault("", f"the parser {name} failed; this is a fault of the service", "internal")
        return Parsed(bad_items=[BadItem([fault], raw_object(payload))], source=name)
    parsed.source = parsed.source or row.name
    parsed.timestamped = (
        row.name not in _WITHOUT_TIMES and bool(parsed.events) and all(event.occurred_at for event in parsed.events)
    )
    if not parsed.message_id and (message_id := headers.get("x-amz-sns-message-id")):
        parsed.message_id = f"sns:{message_id}"  # raw message delivery: the envelope is in the headers
    return parsed


def _format_of_text(name: str | None, headers: Headers, options: Options) -> ParserSpec | None:
    """The format that reads a body which is no JSON; None where what reads the webhook's deliveries takes JSON only."""
    if name is None or custom.given(options) or endpoint_of(name, options, {}):
        return None
    return next((row for row in _BY_NAME[name] if row.reads_text(headers)), None)


def _select(name: str, payload: Json, headers: Headers) -> ParserSpec:
    formats = _BY_NAME[name]
    row = formats[0] if len(formats) == 1 else _detected(formats, payload, headers)
    if row is None:
        raise Unreadable.at("", f"not a payload of {name}", "unrecognised")
    return row


def _detected(formats: tuple[ParserSpec, ...], payload: Json, headers: Headers) -> ParserSpec | None:
    for row in formats:
        if row.detect(payload, headers):
            return row
    return None
