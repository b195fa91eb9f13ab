"""Replays of ERROR events, with the real parsers and a fake store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from event_service.errors import InvalidArgument, NotFound
from event_service.events.replay import Replayer
from event_service.events.write_request import CreateResult, IdempotencyRequest
from event_service.model.event import Event, EventDraft, EventType
from event_service.model.scope import Scope
from event_service.model.webhook import PluginInfo, Webhook
from event_service.normalize import build_parse_error_event, delivery_hooks, parse
from event_service.normalize.result import BadItem, Fault
from event_service.wire.event_info import encode_event
from tests.unit.events.test_delivery import Amazon, DeliveryParser, Here, Remote

SCOPE = Scope("d")
RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 2, 1, tzinfo=UTC)
FAULT = [Fault("", "not readable")]


class Webhooks:
    def __init__(self, plugin_id: str = "auto") -> None:
        self.webhook = Webhook("webhook-1", "hook", "d", "w", "p", PluginInfo(plugin_id), RECEIVED)

    async def get_decrypted(self, scope: Scope, webhook_id: str) -> Webhook:
        if webhook_id != self.webhook.webhook_id:
            raise NotFound("webhook_id", webhook_id)
        return self.webhook


class Events:
    """One stored event, and what was stored of it."""

    def __init__(self, draft: EventDraft, webhook_id: str = "webhook-1") -> None:
        self.wire = encode_event(Event("event-1", draft, "d", "w", "p", webhook_id, RECEIVED))
        self.drafts: Sequence[EventDraft] = []
        self.records: list[IdempotencyRequest] = []
        self.unmatched: tuple[str, ...] = ()

    async def get(self, scope: Scope, event_id: str) -> bytes:
        return self.wire

    async def store(
        self, webhook: Webhook, drafts: Sequence[EventDraft], received_at: datetime, record: IdempotencyRequest
    ) -> CreateResult:
        assert received_at == NOW
        duplicate = record.record_id in {known.record_id for known in self.records}
        self.records.append(record)
        self.drafts = drafts
        return CreateResult(("event-2",), duplicate, unmatched=self.unmatched)


def deliveries_on(threads: Here) -> DeliveryParser:
    return DeliveryParser(
        remote=Remote(),
        hooks=delivery_hooks(Amazon()),
        endpoints={},
        threads=threads,
    )


def replayer(events: Events, plugin_id: str = "auto") -> Replayer:
    return Replayer(
        webhooks=Webhooks(plugin_id),
        deliveries=deliveries_on(Here()),
        events=events,
        clock=lambda: NOW,
    )


def unreadable(raw_data: dict[str, Any]) -> EventDraft:
    return build_parse_error_event(BadItem(FAULT, raw_data), webhook_id="webhook-1", webhook_name="hook")


async def test_readable_payload_is_stored_once_with_its_origin() -> None:
    events = Events(unreadable({"event_key": "k", "title": "disk full", "additional_info": {"mount": "/var"}}))
    again = replayer(events)
    replay = await again.replay(SCOPE, "event-1")
    assert (replay.event_ids, replay.duplicate, replay.faults, replay.parser) == (("event-2",), False, [], "native")
    (draft,) = events.drafts
    assert draft.additional_info == {"mount": "/var", "replayed_from": "event-1"}
    assert draft.occurred_at == RECEIVED, "it was true then, and not now"
    assert (await again.replay(SCOPE, "event-1")).duplicate
    assert events.records[0].record_id == events.records[1].record_id
    assert events.records[0].expire_at - NOW > timedelta(days=365)


async def test_replay_keeps_the_senders_time() -> None:
    events = Events(unreadable({"event_key": "k", "occurred_at": "2025-12-31T09:00:00+09:00"}))
    await replayer(events).replay(SCOPE, "event-1")
    assert events.drafts[0].occurred_at == datetime(2025, 12, 31, tzinfo=UTC)


async def test_unreadable_payload_stores_nothing() -> None:
    events = Events(unreadable({"event_key": 5}))
    replay = await replayer(events, "native").replay(SCOPE, "event-1")
    assert replay.faults == ["event_key: must be a string, not 5"]
    assert (replay.event_ids, events.records) == ((), [])


async def test_partly_readable_payload_stores_an_error_event_for_the_rest() -> None:
    events = Events(unreadable({"results": [{"event_key": "k"}, {"event_key": 5}]}))
    replay = await replayer(events).replay(SCOPE, "event-1")
    assert [draft.event_type for draft in events.drafts] == [EventType.ALERT, EventType.ERROR]
    assert len(replay.faults) == 1


async def test_replay_of_ignored_and_unmatched_members() -> None:
    events = Events(unreadable({"event_action": "acknowledge", "routing_key": "r", "dedup_key": "d"}))
    replay = await replayer(events).replay(SCOPE, "event-1")
    assert (replay.ignored, events.records) == (["acknowledge"], [])
    events = Events(unreadable({"event_key": "k", "event_type": "RECOVERY"}))
    events.unmatched = ("k",)
    assert (await replayer(events).replay(SCOPE, "event-1")).ignored == [
        "recovery without an open alert (event_key = k)"
    ]


@pytest.mark.parametrize(
    ("raw_data", "keys"),
    [
        ({"body": [{"event_key": "a"}, {"event_key": "b"}]}, ["a", "b"]),
        ({"body": '{"event_key": "k"}'}, ["k"]),
        ({"body": {"event_key": "k", "title": "t"}}, None),
        ({"body": '{"event_key": "k"'}, []),
        ({"body": '{"event_key": "k", "event_key": "j"}'}, []),
        ({"body_base64": "eyJldmVudF9rZXkiOiAiayJ9"}, ["k"]),
        ({"body_base64": "AA=="}, []),
        ({"body": ""}, []),
        ({"body": None}, []),
        ({"body": "b", "event_key": "k"}, ["k"]),
    ],
)
async def test_payloads_that_were_not_objects(raw_data: dict[str, Any], keys: list[str] | None) -> None:
    events = Events(unreadable(raw_data))
    replay = await replayer(events).replay(SCOPE, "event-1")
    if keys is None:  # an object with one member of that name is a payload of its own
        keys = [event.event_key for event in parse("auto", raw_data, {}, {}, RECEIVED).events]
    assert [draft.event_key for draft in events.drafts] == keys
    assert bool(replay.faults) == (not keys)


@pytest.mark.parametrize(
    "draft",
    [
        EventDraft("k", EventType.ALERT, title="Webhook Event Parsing Error - hook"),
        EventDraft("k", EventType.ERROR, title="build failed"),
        EventDraft("unreadable-k", EventType.RECOVERY),
    ],
)
async def test_other_events_are_not_replayed(draft: EventDraft) -> None:
    with pytest.raises(InvalidArgument, match="event_id"):
        await replayer(Events(draft)).replay(SCOPE, "event-1")


async def test_upstream_error_events_are_replayed() -> None:
    draft = EventDraft("error-a1b2", EventType.ERROR, title="Webhook Event Parsing Error - prometheus")
    draft.raw_data = {"event_key": "k"}
    assert (await replayer(Events(draft)).replay(SCOPE, "event-1")).event_ids == ("event-2",)


async def test_replay_for_a_deleted_webhook_is_not_found() -> None:
    with pytest.raises(NotFound, match="webhook_id"):
        await replayer(Events(unreadable({"event_key": "k"}), "webhook-2")).replay(SCOPE, "event-1")
