"""Deliveries: selection of the parser, signatures, masking, building."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from event_service.errors import PermissionDenied, TooLarge
from event_service.events.delivery import Delivery, DeliveryParser, build_delivery
from event_service.model.event import EventDraft, EventType
from event_service.model.webhook import PluginInfo, Webhook
from event_service.normalize import delivery_hooks, parse, read_body
from event_service.normalize.result import FROM_PLUGIN, Parsed
from event_service.wire.struct_encode import encode_struct
from tests.unit.normalize.sns_messages import CERTIFICATE, NOW, TOPIC, confirmation, notification, signed

ENDPOINT = "grpc://127.0.0.1:1"


class Remote:
    """A remote plugin that makes one event of any payload."""

    async def parse(self, endpoint: str, payload: Any, options: Mapping[str, Any], received_at: Any) -> Parsed:
        return Parsed(events=[EventDraft(event_key=f"{endpoint} {payload}")])


class Here:
    """A thread pool without threads."""

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    async def run_for(self, _: str, function: Callable[..., Any], *arguments: Any) -> Any:
        return await self.run(function, *arguments)


class Amazon:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        return CERTIFICATE


@pytest.fixture
def amazon() -> Amazon:
    return Amazon()


@pytest.fixture
def reader(amazon: Amazon) -> DeliveryParser:
    return DeliveryParser(
        remote=Remote(),
        hooks=delivery_hooks(amazon),
        endpoints={"far": ENDPOINT},
        threads=Here(),
    )


def webhook(plugin_id: str = "auto", **options: Any) -> Webhook:
    return Webhook("webhook-1", "hook", "d", "w", "p", PluginInfo(plugin_id, options=options), NOW)


def delivery(payload: Any, **more: Any) -> Delivery:
    return Delivery(payload=payload, received_at=NOW, **more)


async def test_subscription_of_an_untrusted_topic_is_kept_with_its_link(reader: DeliveryParser, amazon: Amazon) -> None:
    parsed = await reader.read(webhook(), delivery(signed(confirmation())))
    (event,) = parsed.events
    assert event.additional_info["subscribe_url"] == confirmation()["SubscribeURL"]
    assert "sns_topics" in event.description
    assert (parsed.ignored, amazon.asked) == ([], [])


async def test_subscription_of_a_trusted_topic_is_confirmed(reader: DeliveryParser, amazon: Amazon) -> None:
    parsed = await reader.read(webhook(sns_topics=[TOPIC]), delivery(signed(confirmation())))
    assert (parsed.events, parsed.bad_items, parsed.ignored) == ([], [], ["subscription confirmation"])
    assert amazon.asked[-1] == confirmation()["SubscribeURL"]


async def test_forged_subscription_is_kept_with_the_reason(reader: DeliveryParser, amazon: Amazon) -> None:
    forged = {**signed(confirmation()), "Token": "other"}
    parsed = await reader.read(webhook(sns_topics=TOPIC), delivery(forged))
    (event,) = parsed.events
    assert "is invalid" in event.description
    assert confirmation()["SubscribeURL"] not in amazon.asked


async def test_webhook_with_topics_refuses_everything_else(reader: DeliveryParser) -> None:
    trusting = webhook(sns_topics=[TOPIC])
    assert len((await reader.read(trusting, delivery(signed(notification())))).events) == 1
    forged = {**signed(notification()), "Message": "forged"}
    for payload in (forged, notification(), {"event_key": "k"}, [1], "text"):
        with pytest.raises(PermissionDenied):
            await reader.read(trusting, delivery(payload))
    with pytest.raises(PermissionDenied):
        await reader.read(trusting, delivery({"body": "text"}, unreadable="the body is not JSON"))


async def test_grpc_delivery_is_refused_if_a_signature_is_demanded(reader: DeliveryParser) -> None:
    for options in ({"sentry_client_secret": "s"}, {"pagerduty_secrets": ["s"]}):
        with pytest.raises(PermissionDenied):
            await reader.read(webhook(**options), delivery({"event_key": "k"}))


async def test_parse_neither_verifies_nor_confirms(reader: DeliveryParser, amazon: Amazon) -> None:
    parsed = await reader.parse(webhook(sns_topics=[TOPIC]), delivery(signed(confirmation())))
    assert parsed.subscription is not None
    parsed.keep_subscription()
    assert len(parsed.events) == 1
    assert "confirmed by itself" not in parsed.events[0].description
    assert amazon.asked == []
    parsed.keep_subscription()
    assert len(parsed.events) == 1


async def test_preview_keeps_subscriptions_of_untrusted_topics_only(reader: DeliveryParser, amazon: Amazon) -> None:
    untrusted = await reader.preview(webhook(), delivery(signed(confirmation())))
    assert "sns_topics" in untrusted.events[0].description
    trusted = await reader.preview(webhook(sns_topics=[TOPIC]), delivery(signed(confirmation())))
    assert (trusted.events, trusted.ignored, amazon.asked) == ([], ["subscription confirmation"], [])


async def test_remote_plugin_is_selected_by_name_or_option(reader: DeliveryParser) -> None:
    for hook in (webhook("far"), webhook("any", endpoint=ENDPOINT)):
        assert reader.is_remote(hook)
        parsed = await reader.read(hook, delivery({"a": 1}))
        assert parsed.events[0].event_key == f"{ENDPOINT} {{'a': 1}}"
    assert not reader.is_remote(webhook())


async def test_non_json_and_large_bodies(reader: DeliveryParser) -> None:
    parsed = await reader.read(webhook(), delivery({"body": "{"}, raw_body=b"{", unreadable="the body is not JSON"))
    assert parsed.faults == ["the body is not JSON"]
    far = await reader.read(webhook("far"), delivery({"body": "x"}, raw_body=b"x", unreadable="the body is not JSON"))
    assert far.faults == ["the body is not JSON"]
    text = delivery({"body": "x"}, raw_body=b"x", headers={"x-amz-sns-rawdelivery": "true"}, unreadable="no JSON")
    assert [event.title for event in (await reader.read(webhook(), text)).events] == ["x"]
    large = {"event_key": "k", "x": "x" * 100_000}
    assert len((await reader.read(webhook(), delivery(large, raw_body=b"x" * 100_000))).events) == 1


SECRET = "0123456789abcdef0123456789abcdef"
PAGE = {"routing_key": SECRET, "event_action": "trigger", "dedup_key": "d", "payload": {"summary": "s", "source": "x"}}
ENCODED = {
    **{"specversion": "1.0", "id": "1", "source": "/s", "type": "a.b"},
    "data_base64": base64.b64encode(json.dumps(PAGE).encode()).decode(),
}


@pytest.mark.parametrize(
    ("plugin_id", "payload"),
    [
        ("auto", PAGE),
        ("auto", [PAGE, {**PAGE, "event_action": "odd"}]),
        ("auto", {"events": [PAGE, PAGE]}),
        ("auto", {**notification(), "Message": json.dumps(PAGE)}),
        ("auto", {**notification(), "Message": json.dumps([PAGE, PAGE], indent=1)}),
        ("auto", {**notification(), "Message": json.dumps({**notification(), "Message": json.dumps(PAGE)})}),
        ("auto", {**notification(), "Message": json.dumps(PAGE)[:-1] + ', "x": NaN}'}),
        ("auto", {**ENCODED, "data_base64": None, "data": PAGE}),
        ("auto", ENCODED),
        ("auto", [ENCODED, ENCODED]),
        ("auto", {**notification(), "Message": json.dumps(ENCODED)}),
        ("native", PAGE),
        ("far", PAGE),
    ],
)
@pytest.mark.parametrize("with_body", [True, False])
async def test_pagerduty_routing_keys_are_masked(
    reader: DeliveryParser, plugin_id: str, payload: Any, with_body: bool
) -> None:
    raw_body = json.dumps(payload).encode() if with_body else None
    parsed = await reader.read(webhook(plugin_id), delivery(payload, raw_body=raw_body))
    assert parsed.events or parsed.bad_items
    assert SECRET not in str(parsed)
    kept = json.dumps([item.raw_data for item in (*parsed.events, *parsed.bad_items)])
    decoded = base64.b64decode(found[1]) if (found := re.search(r'data_base64\\*": \\*"([^"\\]+)', kept)) else b""
    assert SECRET.encode() not in decoded
    assert plugin_id == "far" or "sha256:" in kept + decoded.decode()


async def test_routing_keys_in_non_json_bodies_are_masked(reader: DeliveryParser) -> None:
    for body in (f"{json.dumps(PAGE)} and more", json.dumps({**notification(), "Message": json.dumps(PAGE)})[:-1]):
        given = delivery({"body": body}, raw_body=body.encode(), unreadable="the body is not JSON")
        (item,) = (await reader.read(webhook(), given)).bad_items
        assert item.raw_data["body"] == body.replace(SECRET, "sha256:3eb1bd439947eb76") != body


async def test_routing_keys_of_other_tools_are_kept(reader: DeliveryParser) -> None:
    queue = {"title": "full", "routing_key": "orders.eu", "text": '{"routing_key": "orders.eu"}'}
    (event,) = (await reader.read(webhook(), delivery(queue))).events
    assert event.raw_data is queue


def test_batch_too_large_becomes_one_error_event_with_the_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("event_service.events.event_builder.MOST_BYTES", 10_000)
    payload = {"around": "x" * 5000, "alerts": [{"title": "a"}, {"title": "b"}, 5]}
    given = delivery(payload, payload_wire=encode_struct(payload))
    parsed, built = build_delivery(parse("auto", payload, {}, {}, NOW), webhook(), given, 8000)
    (event,) = (one.event for one in built)
    assert event.draft.event_type is EventType.ERROR
    assert event.draft.raw_data == payload
    assert parsed.faults == ["data: 3 events are over the limit of 10000 bytes; send it in parts"]
    assert (parsed.events, parsed.source) == ([], "generic")
    with pytest.raises(TooLarge):  # as every payload that no event can hold
        build_delivery(parse("auto", payload, {}, {}, NOW), webhook(), given, 4000)


def test_readable_and_unreadable_members_are_built_together() -> None:
    payload = {"alerts": [{"title": "a"}, 5]}
    parsed, built = build_delivery(parse("auto", payload, {}, {}, NOW), webhook(), delivery(payload), 8000)
    assert [one.event.draft.event_type for one in built] == [EventType.ALERT, EventType.ERROR]
    assert parsed.faults == ["alerts[1]: must be a JSON object"]


def test_oversized_event_of_a_plugin_becomes_an_error_event() -> None:
    payload = {"alerts": [{"title": "a"}, {"title": "b"}]}
    parsed = parse("auto", payload, {}, {}, NOW)
    parsed.source = FROM_PLUGIN
    parsed.events[0].additional_info = {"log": "x" * 8000}
    parsed, built = build_delivery(parsed, webhook(), delivery(payload), 8000)
    good, bad = (one.event.draft for one in built)
    assert (good.event_type, good.raw_data) == (EventType.ALERT, {"alerts": [{"title": "b"}]})
    assert (bad.event_type, bad.raw_data) == (EventType.ERROR, {"alerts": [{"title": "a"}]})
    assert parsed.faults[0].startswith("plugin: ")
    assert "is over the limit of 8000 bytes" in parsed.faults[0]
    with pytest.raises(TooLarge):  # the payload itself is what is too large
        build_delivery(parsed, webhook(), delivery(payload), 50)


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{"event_key": "k", "severity": "INFO", "severity": "CRITICAL"}', "severity"),
        ('{"event_key": "k", "title": "a\\":", "additional_info": {"a": 1, "a" : 1}}', "a"),
        ('[{"event_key": "k"}, {"event_key": "k", "event_key": "l"}]', "event_key"),
    ],
)
async def test_duplicate_key_is_a_fault_in_native(reader: DeliveryParser, body: str, key: str) -> None:
    given = delivery(json.loads(body), raw_body=body.encode())
    (item,) = (await reader.read(webhook(), given)).bad_items
    assert str(item.faults[0]) == f"the key '{key}' is in an object twice"
    assert item.raw_data == {"body": body}


@pytest.mark.parametrize(
    "body",
    [
        b'{"event_key": "k", "title": "a\\": b", "additional_info": {"a": {"a": 1}, "b": [{"a": 1}]}}',
        b'{"title": "t", "title": "u"}',
        b"event_key=k&title=t",
        '{"event_key": "Kühlung"}'.encode("latin-1"),
    ],
)
async def test_other_bodies_have_no_duplicate_key(reader: DeliveryParser, body: bytes) -> None:
    payload, fault = read_body(body, {"content-type": "application/x-www-form-urlencoded"})
    parsed = await reader.read(webhook(), delivery(payload, raw_body=body, unreadable=fault))
    assert (len(parsed.events), parsed.bad_items) == (1, [])
