"""Every payload is parsed or refused with `ParseError`."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize import build_parse_error_event, custom, parse
from event_service.normalize.registry import MAPPING, PARSERS, ParserSpec
from event_service.normalize.result import BadItem, Parsed, ParseError
from tests.fuzz.payload_mutations import EXPECTED, json_values, mutated, payloads_of
from tests.fuzz.search import SEARCH

RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)

# Prefix of the example payloads to mutate, if it differs from the name of the format.
PREFIXES = {
    "aws-cloudwatch": "aws-sns-cloudwatch",
    "aws-health": "aws-",
    "aws-eventbridge": "aws-",
    "cloud-eye": "cloud-eye",
    "aws-sns": "aws-sns",
}

# additional_info is flat by design: the depth of a payload never reaches the event through it.
DEEPEST_INFO = 3

pytestmark = pytest.mark.fuzz

headers_strategy = st.one_of(
    st.just({}),
    st.dictionaries(
        st.sampled_from(
            [
                "content-type",
                "ce-specversion",
                "ce-id",
                "ce-type",
                "ce-source",
                "ce-time",
                "sentry-hook-resource",
                "request-id",
                "x-pagerduty-signature",
                "x-amz-sns-message-id",
            ]
        ),
        st.one_of(st.text(max_size=10), st.sampled_from(["application/cloudevents+json", "1.0", "%zz%", "issue"])),
        max_size=4,
    ),
)
options_strategy = st.one_of(
    st.just({}),
    st.dictionaries(
        st.sampled_from(["timezone", "mapping", "values", "ignore_insufficient_data"]), json_values, max_size=3
    ),
    st.just({"timezone": "Europe/Riga"}),
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def check_draft(draft: EventDraft) -> None:
    """Check the properties that the rest of the service relies on."""
    assert isinstance(draft.event_key, str)
    assert draft.event_key
    assert draft.event_key == draft.event_key.strip()
    assert type(draft.event_type) is EventType
    assert type(draft.severity) is Severity
    for written in (draft.title, draft.description, draft.rule, draft.image_url, draft.provider, draft.account):
        assert type(written) is str
        assert written == written.strip()
    assert all(type(name) is str and name for name in draft.resources)
    assert isinstance(draft.additional_info, dict)
    if draft.occurred_at is not None:
        assert draft.occurred_at.tzinfo in {UTC, None}  # a local time gets the webhook's zone in registry.parse
        assert draft.occurred_at.microsecond % 1000 == 0
    assert isinstance(draft.raw_data, dict)


def check(spec: ParserSpec, payload: Any, headers: dict[str, str], options: dict[str, Any]) -> Parsed:
    """Parse the payload: a ParseError is a result, any other exception a failure."""
    try:
        parsed = spec.parse(payload, headers, options, RECEIVED)
    except ParseError as error:
        parsed = Parsed(bad_items=[BadItem(error.faults, {})])
    check_parsed(parsed)
    return parsed


def check_parsed(parsed: Parsed) -> None:
    for draft in parsed.events:
        check_draft(draft)
    for item in parsed.bad_items:
        assert item.faults
        assert isinstance(item.raw_data, dict)
        check_draft(build_parse_error_event(item, webhook_id="webhook-1", webhook_name="w"))
    assert all(type(reason) is str and reason for reason in parsed.ignored)
    assert isinstance(parsed.message_id, str)


@pytest.mark.parametrize("spec", PARSERS, ids=lambda spec: spec.name)
@SEARCH
@given(data=st.data())
def test_a_changed_payload_is_read_or_refused(spec: ParserSpec, data: st.DataObject) -> None:
    names = payloads_of(PREFIXES.get(spec.name, spec.name.split("-")[0])) or list(EXPECTED)
    payload = data.draw(mutated(names))
    parsed = check(spec, payload, data.draw(headers_strategy), data.draw(options_strategy))
    if spec.name not in {"native", "aws-sns"}:
        assert all(depth_of(draft.additional_info) <= DEEPEST_INFO for draft in parsed.events)


@SEARCH
@given(payload=json_values, headers=headers_strategy, options=options_strategy)
def test_any_json_is_read_or_refused(payload: Any, headers: dict[str, str], options: dict[str, Any]) -> None:
    for spec in PARSERS:
        assert spec.detect(payload, headers) in {True, False}
        check(spec, payload, headers, options)


@SEARCH
@given(data=st.data())
def test_automatic_detection_never_fails(data: st.DataObject) -> None:
    payload = data.draw(st.one_of(mutated(list(EXPECTED)), json_values))
    parsed = parse("auto", payload, data.draw(headers_strategy), data.draw(options_strategy), RECEIVED)
    check_parsed(parsed)
    assert (
        parsed.events
        or parsed.bad_items
        or parsed.ignored
        or payload in ([], {"results": []})
        or "alerts" in str(payload)
    )
    assert all(fault.kind != "internal" for item in parsed.bad_items for fault in item.faults)


expressions = st.one_of(
    st.sampled_from(
        [
            "@",
            "a",
            "a.b",
            "a[0]",
            "a[]",
            "a[*].b",
            "length(@)",
            "keys(@)",
            "join(',',@)",
            "a[::0]",
            "a[-1:]",
            "to_number(a)",
            "sort_by(@,&a)",
            "max_by(a,&b)",
            "`1`",
            "a||b",
            "a&&b",
            "!a",
            "a==b",
            "a[?b>`1`]",
            "{x:a}",
            "[a,b]",
            "_payload",
            "not_null(a,b)",
            "map(&a,@)",
            "avg(@)",
            "reverse(@)",
            "contains(a,b)",
            "foo(",
            "((((((((a",
            "type(@)",
            "ceil(a)",
            "abs(a)",
            "merge(@,a)",
            "split(a)",
            "&",
            "|",
            "report.checks",
            "report.checks[]",
        ]
    ),
    st.text("ab.[]*?()@&|!=<>`'\"0123456789, ", max_size=20),
    json_values,
)


@pytest.mark.filterwarnings("ignore:deprecated string literal:PendingDeprecationWarning")  # the library's own
@SEARCH
@given(
    payload=st.one_of(json_values, mutated(payloads_of("mapping"))),
    mapping=st.dictionaries(st.sampled_from(custom.FIELDS), expressions, max_size=6),
    values=json_values,
)
def test_any_mapping_reads_or_refuses(payload: Any, mapping: dict[str, Any], values: Any) -> None:
    options = {"mapping": mapping, "values": values}
    assert all(fault.path.startswith("options.mapping") for fault in custom.check(options))
    check(MAPPING, payload, {}, options)


@SEARCH
@given(data=st.data())
def test_raw_data_of_a_member_is_smaller_than_its_payload(data: st.DataObject) -> None:
    payload = data.draw(mutated(payloads_of("alertmanager")))
    parsed = parse("alertmanager", payload, {}, {}, RECEIVED)
    if isinstance(payload, dict) and isinstance(payload.get("alerts"), list) and len(payload["alerts"]) > 1:
        for item in (*parsed.events, *parsed.bad_items):
            assert len(json.dumps(item.raw_data)) < len(json.dumps(payload))
