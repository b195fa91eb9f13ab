"""The table of parsers, in the order of detection, and the names by which a webhook selects one.

A parser is one module with two pure functions, `detect(payload, headers)` and
`parse(payload, headers, options, received_at)`, and one spec here.

Source: the order of detection is that of docs/collectors.md.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from event_service.model.event import EventDraft
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
    gcp_pubsub,
    generic,
    grafana,
    native,
    newrelic,
    opsgenie,
    pagerduty,
    plain_text,
    sentry,
    zabbix,
)
from event_service.normalize.options import read_zone
from event_service.normalize.result import (
    BODY,
    MOST_EVENTS,
    MOST_FIELDS,
    BadItem,
    DeliveryHooks,
    Detector,
    Fault,
    Headers,
    Json,
    Options,
    Parsed,
    ParseError,
    Parser,
    object_of,
    raw_object,
)
from event_service.normalize.routing_keys import without_routing_keys
from event_service.normalize.sns_trust import Fetch, SnsTrust
from event_service.normalize.splitting import check_members, too_much
from event_service.normalize.timestamps import in_utc

AUTO = "auto"

LOCAL_TIME = "local time without a zone; set the webhook's option timezone"
UNLIKELY_TIME = "time far from receipt"
"""Remarks about events whose time was dropped."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ParserSpec:
    """A parser and its format detection.

    Attributes:
        reads_text: returns True if a non-JSON body has this format, by its text and its headers.
        mask: returns a payload without the vendor's credentials, before it is parsed and stored. Applied to every
            delivery, because any tool may forward such a payload. Its second argument is the payload's bytes, if known.
        hooks: makes the vendor's steps before and after parsing, with a function that fetches https addresses.
    """

    name: str
    detect: Detector
    parse: Parser
    reads_text: Callable[[str, Headers], bool] = lambda _text, _headers: False
    mask: Callable[[Json, bytes | None], Json] | None = None
    hooks: Callable[[Fetch], DeliveryHooks] | None = None


def _read_inside_sns(payload: Json, options: Options, received_at: datetime) -> Parsed | None:
    """Parse the message of an SNS envelope; return None if not even the generic parser can.

    AWS writes local times in UTC.
    """
    options = {"timezone": "UTC", **options}
    spec = _detect(_INSIDE_SNS, payload, {})
    if spec is None:
        return None
    try:
        parsed = _parse(spec, payload, {}, options, received_at)
    except ParseError:
        if spec.parse is generic.parse:  # the envelope's subject makes a better event than a fault
            return None
        raise
    parsed.source = spec.name
    return parsed


def _read_list(members: list[Json], headers: Headers, options: Options, received_at: datetime) -> Parsed:
    """Parse each member by its own format, for a list that has no format as a whole."""
    check_members(members)
    parsed = Parsed(ignored=[] if members else ["empty list"])
    fields = 0
    for index, member in enumerate(members):
        path = f"[{index}]"
        try:
            # PARSERS without _LIST: a list in a list is not a payload.
            spec = _detect(PARSERS, object_of(member, path), headers)
            part = _parse(spec, member, headers, options, received_at) if spec else Parsed()
        except ParseError as error:
            part = Parsed(bad_items=[BadItem(error.faults, raw_object(member))])
        for item in part.bad_items:
            # Faults of object_of have the path already.
            item.faults = [fault if fault.path == path else fault.below(path) for fault in item.faults]
        if part.subscription is not None:  # SNS never sends lists: keep the link, do not confirm it
            part = Parsed(events=[part.subscription.event])
        parsed.events += part.events
        parsed.bad_items += part.bad_items
        parsed.ignored += part.ignored
        # Each member is within the limits; check them for all together.
        fields += sum(len(event.raw_data) for event in part.events) + sum(len(item.raw_data) for item in part.bad_items)
        if len(parsed.events) + len(parsed.bad_items) > MOST_EVENTS or fields > MOST_FIELDS:
            raise too_much("", f"makes more than {MOST_EVENTS} events, the limit of one delivery")
    return parsed


def _read_inside_pubsub(payload: Json, headers: Headers, options: Options, received_at: datetime, fault: str) -> Parsed:
    return parse(AUTO, payload, headers, options, received_at, not_json=fault)


# The order of automatic detection: the first parser that detects a payload parses it.
PARSERS = (
    ParserSpec("aws-sns", aws_sns.detect, partial(aws_sns.parse, read_inner=_read_inside_sns), hooks=SnsTrust),
    ParserSpec(
        "aws-sns-raw", aws_sns.detect_raw, partial(aws_sns.parse_raw, read_inner=_read_inside_sns), aws_sns.reads_text
    ),
    ParserSpec("aws-cloudwatch", aws_cloudwatch.detect, aws_cloudwatch.parse),
    ParserSpec("aws-cloudwatch-eventbridge", aws_cloudwatch.detect_eventbridge, aws_cloudwatch.parse_eventbridge),
    ParserSpec("aws-health", aws_health.detect, aws_health.parse),
    ParserSpec("aws-eventbridge", aws_eventbridge.detect, aws_eventbridge.parse),
    ParserSpec("grafana", grafana.detect, grafana.parse),
    ParserSpec("grafana-legacy", grafana.detect_legacy, grafana.parse_legacy),
    ParserSpec("alertmanager", alertmanager.detect, alertmanager.parse),
    ParserSpec("azure", azure.detect, azure.parse),
    ParserSpec("gcp-pubsub", gcp_pubsub.detect, partial(gcp_pubsub.parse, read_inner=_read_inside_pubsub)),
    ParserSpec("gcp", gcp.detect, gcp.parse),
    ParserSpec("datadog", datadog.detect, datadog.parse),
    ParserSpec("zabbix", zabbix.detect, zabbix.parse),
    ParserSpec("pagerduty", pagerduty.detect, pagerduty.parse, mask=without_routing_keys),
    ParserSpec("pagerduty-v1", pagerduty.detect_v1, pagerduty.parse_v1),
    ParserSpec("pagerduty-webhook", pagerduty.detect_webhook, pagerduty.parse_webhook),
    ParserSpec("cloudevents", cloudevents.detect, cloudevents.parse),
    ParserSpec("cloud-eye", cloud_eye.detect, cloud_eye.parse),
    ParserSpec("opsgenie", opsgenie.detect, opsgenie.parse),
    ParserSpec("newrelic", newrelic.detect, newrelic.parse),
    ParserSpec("sentry", sentry.detect, sentry.parse),
    ParserSpec("native", native.detect, native.parse),
    ParserSpec("generic", generic.detect, generic.parse),
    ParserSpec("text", plain_text.detect, plain_text.parse, plain_text.reads_text),
)
_LIST = ParserSpec("list", lambda payload, _headers: isinstance(payload, list), _read_list)
_INSIDE_SNS = tuple(spec for spec in (*PARSERS, _LIST) if spec.name not in ("aws-sns", "text"))
# Formats written by hand: equal bytes within a minute may be two events.
_WITHOUT_TIMES = frozenset({"native", "generic", "mapping", "list", "text"})
# Their times are kept as they are: native states them by contract, the members of a list were settled one by one.
_EXACT_TIMES = frozenset({"native", "list"})
# A time of a format written by hand that is older is a placeholder or was misread.
_OLDEST = timedelta(days=366)
_CLOCK_TOLERANCE = timedelta(minutes=5)
_MASKING = tuple(row for row in PARSERS if row.mask is not None)
MAPPING = ParserSpec("mapping", generic.detect, custom.parse)


def _specs(*names: str) -> tuple[ParserSpec, ...]:
    return tuple(spec for spec in PARSERS if spec.name in names)


_BY_NAME: dict[str, tuple[ParserSpec, ...]] = {
    AUTO: (*PARSERS, _LIST),
    **{spec.name: (spec,) for spec in (*PARSERS, MAPPING)},
    # Tools with several formats.
    "aws": tuple(spec for spec in PARSERS if spec.name.startswith("aws-")),
    "gcp": _specs("gcp-pubsub", "gcp"),
    "grafana": _specs("grafana", "grafana-legacy"),
    "pagerduty": _specs("pagerduty", "pagerduty-v1", "pagerduty-webhook"),
    # Any other body.
    "generic": _specs("generic", "text"),
}

# Upstream's plugin ids with a built-in parser.
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


def mask_credentials(payload: Json, wire: bytes | None = None) -> Json:
    """Return the payload with the credentials of all vendors masked; the payload itself if it holds none.

    Args:
        wire: the payload's bytes, if known.
    """
    for row in _MASKING:
        if row.mask is not None:
            payload = row.mask(payload, wire)
    return payload


def delivery_hooks(fetch: Fetch) -> list[DeliveryHooks]:
    """Return the hooks of all vendors that have some."""
    return [row.hooks(fetch) for row in PARSERS if row.hooks is not None]


def known_names() -> list[str]:
    """Return the names of the built-in parsers, without upstream's plugin ids."""
    return sorted(_BY_NAME)


def canonical_name(plugin_id: str) -> str | None:
    """Return the built-in parser of a plugin_id or an upstream alias; None if only a remote plugin can parse it."""
    name = _ALIASES.get(plugin_id, plugin_id)
    return name if name in _BY_NAME else None


def endpoint_of(plugin_id: str, options: Options, endpoints: Mapping[str, str]) -> str:
    """Return the endpoint of the webhook's remote plugin (`grpc://host:port`), or "" for a built-in parser.

    Args:
        options: of the webhook; its `endpoint` takes precedence.
        endpoints: plugin_id -> endpoint, from the settings.
    """
    endpoint = options.get("endpoint")
    return endpoint if isinstance(endpoint, str) and endpoint else endpoints.get(plugin_id, "")


def parse(
    plugin_id: str, payload: Json, headers: Headers, options: Options, received_at: datetime, *, not_json: str = ""
) -> Parsed:
    """Parse a payload with a built-in parser. For remote plugins see remote_plugin.py.

    Args:
        plugin_id: a name of the table, `auto`, or one of upstream's plugin ids.
        payload: any JSON value; numbers may be doubles. For a non-JSON body `{"body": text}`, or
            `{"body_base64": text}` if it is not text either.
        headers: of the HTTP request, or the metadata of the RPC; names in lower case.
        options: of the webhook.
        received_at: timezone-aware UTC.
        not_json: the reason why the body is not JSON, or "". Only a parser with `reads_text` parses such a body.

    Returns:
        Bad items instead of an exception; store them with `build_parse_error_event`.
    """
    name = canonical_name(plugin_id)
    text = payload.get(BODY, "") if not_json else ""
    text_parser = _text_parser(name, text, headers, options) if text else None
    if not_json and text_parser is None:
        return Parsed(bad_items=[BadItem([Fault("", not_json, "not-json")], payload, plain_text.title_of(text))])
    if name is None:
        fault = Fault("plugin_info.plugin_id", f"no parser has the name {plugin_id!r}", "unknown")
        return Parsed(bad_items=[BadItem([fault], raw_object(payload))])
    try:
        if text_parser is not None:
            spec, payload = text_parser, text
        else:
            spec = MAPPING if name == AUTO and custom.has_mapping(options) else _select(name, payload, headers)
        parsed = _parse(spec, payload, headers, options, received_at)
    except ParseError as error:
        return Parsed(bad_items=[BadItem(error.faults, raw_object(payload))], source=name)
    except Exception:
        # A bug in a parser must not lose the payload.
        _log.exception("parser %s failed", name)
        fault = Fault(
            "", f"the parser {name} failed with an internal error; report it and replay the event", "internal"
        )
        return Parsed(bad_items=[BadItem([fault], raw_object(payload))], source=name)
    parsed.source = parsed.source or spec.name
    parsed.timestamped = (
        spec.name not in _WITHOUT_TIMES and bool(parsed.events) and all(event.occurred_at for event in parsed.events)
    )
    if not parsed.message_id:
        # Without an envelope the id is in the headers.
        if message_id := headers.get("x-amz-sns-message-id"):
            parsed.message_id = f"sns:{message_id}"
        elif message_id := headers.get("x-goog-pubsub-message-id"):
            parsed.message_id = f"pubsub:{message_id}"
    return parsed


def _parse(spec: ParserSpec, payload: Json, headers: Headers, options: Options, received_at: datetime) -> Parsed:
    """Parse a payload, settle the times of its events and collect their remarks."""
    parsed = spec.parse(payload, headers, options, received_at)
    oldest = received_at - _OLDEST if spec.name in _WITHOUT_TIMES else None
    for event in parsed.events:
        if event.occurred_at is not None and spec.name not in _EXACT_TIMES:
            _settle_time(event, options, received_at, oldest)
        if event.remark:
            parsed.ignored.append(event.remark)
            event.remark = ""
    return parsed


def _settle_time(event: EventDraft, options: Options, received_at: datetime, oldest: datetime | None) -> None:
    """Read a local time in the webhook's `timezone`; drop a time that cannot be right, so that receipt counts.

    Without a zone a local time is not UTC: hours ahead, it would keep the recovery from resolving the alert.
    """
    at = event.occurred_at
    if at is not None and at.tzinfo is None:
        zone = read_zone(options.get("timezone"))
        at = None if zone is None else in_utc(at, zone)
        event.occurred_at = at
        if at is None:
            event.remark = event.remark or LOCAL_TIME
    if at is not None and (at > received_at + _CLOCK_TOLERANCE or (oldest is not None and at < oldest)):
        event.occurred_at = None
        event.remark = event.remark or UNLIKELY_TIME


def _text_parser(name: str | None, text: str, headers: Headers, options: Options) -> ParserSpec | None:
    """Return the parser for a non-JSON body, or None if the webhook accepts JSON only."""
    if name is None or custom.has_mapping(options) or endpoint_of(name, options, {}):
        return None
    return next((spec for spec in _BY_NAME[name] if spec.reads_text(text, headers)), None)


def _select(name: str, payload: Json, headers: Headers) -> ParserSpec:
    specs = _BY_NAME[name]
    spec = specs[0] if len(specs) == 1 else _detect(specs, payload, headers)
    if spec is None:
        raise ParseError.at("", f"not a payload of {name}", "unrecognised")
    return spec


def _detect(specs: tuple[ParserSpec, ...], payload: Json, headers: Headers) -> ParserSpec | None:
    for spec in specs:
        if spec.detect(payload, headers):
            return spec
    return None
