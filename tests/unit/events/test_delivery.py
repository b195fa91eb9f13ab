"""How a delivery is read: by which parser, after which signature, and what it is remembered by."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from event_service.errors import PermissionDenied, TooLarge
from event_service.events import delivery as delivery_module
from event_service.events.delivery import Delivery, DeliveryParser, build_delivery, keep_subscription
from event_service.model.event import EventDraft, EventType
from event_service.model.webhook import PluginInfo, Webhook
from event_service.normalize import parse
from event_service.normalize.result import FROM_PLUGIN, Parsed
from event_service.normalize.sns_trust import SnsTrust
from event_service.wire.struct import encode_struct
from tests.unit.normalize.sns_messages import CERTIFICATE, NOW, TOPIC, confirmation, notification, signed
from tests.unit.wire.json_values import values

ENDPOINT = "grpc://127.0.0.1:1"


class Remote:
    """A remote plugin that makes one event of whatever it is given."""

    async def parse(self, endpoint: str, payload: Any, options: Mapping[str, Any], received_at: Any) -> Parsed:
        return Parsed(events=[EventDraft(event_key=f"{endpoint} {payload}")])


class Here:
    """ThreadPool that are none."""

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)


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
        sns=SnsTrust(amazon),
        endpoints={"far": ENDPOINT},
        threads=Here(),
        idempotency=timedelta(hours=24),
        same_body=timedelta(seconds=60),
    )


def webhook(plugin_id: str = "auto", **options: Any) -> Webhook:
    return Webhook("webhook-1", "hook", "d", "w", "p", PluginInfo(plugin_id, options=options), NOW)


def delivery(payload: Any, **more: Any) -> Delivery:
    return Delivery(payload=payload, received_at=NOW, **more)


async def test_a_subscription_is_kept_with_its_link_where_nobody_trusts_the_topic(
    reader: DeliveryParser, amazon: Amazon
) -> None:
    parsed = await reader.read(webhook(), delivery(signed(confirmation())))
    (event,) = parsed.events
    assert event.additional_info["subscribe_url"] == confirmation()["SubscribeURL"]
    assert "sns_topics" in event.description
    assert (parsed.ignored, amazon.asked) == ([], [])


async def test_a_subscription_is_confirmed_where_the_topic_is_trusted(reader: DeliveryParser, amazon: Amazon) -> None:
    parsed = await reader.read(webhook(sns_topics=[TOPIC]), delivery(signed(confirmation())))
    assert (parsed.events, parsed.bad_items, parsed.ignored) == ([], [], ["subscription confirmation"])
    assert amazon.asked[-1] == confirmation()["SubscribeURL"]


async def test_a_forged_subscription_is_kept_and_says_why(reader: DeliveryParser, amazon: Amazon) -> None:
    forged = {**signed(confirmation()), "Token": "other"}
    parsed = await reader.read(webhook(sns_topics=TOPIC), delivery(forged))
    (event,) = parsed.events
    assert "does not hold" in event.description
    assert confirmation()["SubscribeURL"] not in amazon.asked


async def test_where_topics_are_named_nothing_else_is_taken(reader: DeliveryParser) -> None:
    trusting = webhook(sns_topics=[TOPIC])
    assert len((await reader.read(trusting, delivery(signed(notification())))).events) == 1
    forged = {**signed(notification()), "Message": "forged"}
    for payload in (forged, notification(), {"event_key": "k"}, [1], "text"):
        with pytest.raises(PermissionDenied):
            await reader.read(trusting, delivery(payload))
    with pytest.raises(PermissionDenied):
        await reader.read(trusting, delivery({"body": "text"}, unreadable="the body is not JSON"))


async def test_what_came_without_a_body_cannot_be_signed(reader: DeliveryParser) -> None:
    for options in ({"sentry_client_secret": "s"}, {"pagerduty_secrets": ["s"]}):
        with pytest.raises(PermissionDenied):
            await reader.read(webhook(**options), delivery({"event_key": "k"}))


async def test_parse_asks_for_no_signature_and_confirms_nothing(reader: DeliveryParser, amazon: Amazon) -> None:
    parsed = await reader.parse(webhook(sns_topics=[TOPIC]), delivery(signed(confirmation())))
    assert parsed.subscription is not None
    keep_subscription(parsed)
    assert len(parsed.events) == 1
    assert "confirmed by itself" not in parsed.events[0].description
    assert amazon.asked == []
    keep_subscription(parsed)
    assert len(parsed.events) == 1


async def test_remote_plugins_by_name_and_by_option(reader: DeliveryParser) -> None:
    for hook in (webhook("far"), webhook("any", endpoint=ENDPOINT)):
        assert reader.reads_remotely(hook)
        parsed = await reader.read(hook, delivery({"a": 1}))
        assert parsed.events[0].event_key == f"{ENDPOINT} {{'a': 1}}"
    assert not reader.reads_remotely(webhook())


async def test_what_is_no_json_and_what_is_large(reader: DeliveryParser) -> None:
    parsed = await reader.read(webhook(), delivery({"body": "x"}, raw_body=b"x", unreadable="the body is not JSON"))
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
async def test_a_routing_key_of_pagerduty_is_nowhere(
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


async def test_a_routing_key_in_what_is_no_json_is_nowhere(reader: DeliveryParser) -> None:
    for body in (f"{json.dumps(PAGE)} and more", json.dumps({**notification(), "Message": json.dumps(PAGE)})[:-1]):
        given = delivery({"body": body}, raw_body=body.encode(), unreadable="the body is not JSON")
        (item,) = (await reader.read(webhook(), given)).bad_items
        assert item.raw_data["body"] == body.replace(SECRET, "sha256:3eb1bd439947eb76") != body


async def test_a_routing_key_of_another_tool_stays(reader: DeliveryParser) -> None:
    queue = {"title": "full", "routing_key": "orders.eu", "text": '{"routing_key": "orders.eu"}'}
    (event,) = (await reader.read(webhook(), delivery(queue))).events
    assert event.raw_data is queue


def test_what_a_delivery_is_remembered_by(reader: DeliveryParser) -> None:
    hook = webhook()

    def claim_of(payload: Any, **more: Any) -> Any:
        given = delivery(payload, **more)
        return reader.claim(hook, given, parse("auto", payload, {}, {}, NOW))

    assert claim_of({"event_key": "k"}) is None
    assert claim_of({"event_key": "k", "occurred_at": "2025-05-06T07:00:00Z"}, raw_body=b"same") is None
    by_key = claim_of({"event_key": "k"}, idempotency_key="a")
    assert by_key.digest
    assert by_key.expire_at == NOW + timedelta(hours=24)
    by_message = claim_of(notification())
    assert (by_message.digest, by_message.expire_at) == ("", NOW + timedelta(hours=24))
    incident = {"version": "1.2", "incident": {"incident_id": "i", "state": "open", "started_at": 1746514800}}
    assert claim_of(incident) is None, "by gRPC there is no body"
    assert claim_of(incident, raw_body=b"same").expire_at == NOW + timedelta(seconds=60)
    names = {by_key.record_id, by_message.record_id, claim_of(incident, raw_body=b"same").record_id}
    assert len(names) == 3


def test_what_is_too_much_to_be_split_is_one_event_that_keeps_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_can_be_read_and_what_cannot_are_built_together() -> None:
    payload = {"alerts": [{"title": "a"}, 5]}
    parsed, built = build_delivery(parse("auto", payload, {}, {}, NOW), webhook(), delivery(payload), 8000)
    assert [one.event.draft.event_type for one in built] == [EventType.ALERT, EventType.ERROR]
    assert parsed.faults == ["alerts[1]: must be a JSON object"]


def test_what_a_plugin_made_too_large_is_an_event_of_its_member() -> None:
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


@given(payload=values)
def test_the_digest_is_the_same_written_at_once_and_in_pieces(payload: Any) -> None:
    assert (
        delivery_module._digest(payload, 0)
        == delivery_module._digest(payload, 1)
        == delivery_module._digest(payload, 2)
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"n": 1}, {"n": 1.0}),
        ({"l": [{"n": [0]}, "x"], "a": 1}, {"a": 1.0, "l": [{"n": [0.0]}, "x"]}),
        ([{"n": 2**53 + 1}], [{"n": 2.0**53}]),
    ],
)
def test_numbers_are_the_doubles_they_are_in_a_struct(reader: DeliveryParser, one: Any, other: Any) -> None:
    digests = {
        reader.claim(webhook(), delivery(payload, idempotency_key="a"), Parsed()).digest for payload in (one, other)
    }
    assert len(digests) == 1


def test_what_only_looks_like_a_number_is_another_payload(reader: DeliveryParser) -> None:
    payloads = [{"n": value} for value in (1, "1", "1.0", True, None, [1], [1, 1], {"1": 1})]
    digests = {reader.claim(webhook(), delivery(payload, idempotency_key="a"), Parsed()).digest for payload in payloads}
    assert len(digests) == len(payloads)
