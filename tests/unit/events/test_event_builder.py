"""Events of one delivery are serialised as if each were built alone."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import InvalidArgument, TooLarge
from event_service.events.event_builder import BatchTooLarge, build, build_all
from event_service.model.event import EventDraft
from event_service.model.webhook import PluginInfo, Webhook
from event_service.wire.struct_decode import struct_to_dict
from tests.unit.wire.json_values import objects

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WEBHOOK = Webhook("webhook-1", "hook", "d", "w", "p", PluginInfo("auto"), NOW)


def raw_data_of(wire: bytes) -> dict[str, Any]:
    return struct_to_dict(event_pb2.EventInfo.FromString(wire).raw_data, path="raw_data")


@given(objects, st.lists(objects, min_size=1, max_size=4))
def test_shared_fields_are_in_each_event(payload: dict[str, Any], members: list[dict[str, Any]]) -> None:
    drafts = [EventDraft("k", raw_data={**payload, "alerts": [member]}) for member in members]
    alone = [build(EventDraft("k", raw_data=draft.raw_data), WEBHOOK, NOW, 1 << 22).wire for draft in drafts]
    together = [built.wire for built in build_all(drafts, WEBHOOK, NOW, 1 << 22)]
    assert list(map(raw_data_of, together)) == list(map(raw_data_of, alone))
    assert list(map(len, together)) == list(map(len, alone))


def test_given_raw_wire_is_used() -> None:
    kept = b"\x0a\x05\x0a\x01a\x12\x00"
    drafts = [EventDraft("k", raw_data={"a": None}, raw_wire=kept), EventDraft("k", raw_data={"b": 1})]
    build_all(drafts, WEBHOOK, NOW, 1 << 22)
    assert drafts[0].raw_wire is kept


def test_unreadable_events_are_refused_with_their_path() -> None:
    drafts = [EventDraft("k"), EventDraft("k", raw_data={"a": {"b": float("nan")}})]
    with pytest.raises(InvalidArgument, match=r"raw_data\.a\.b"):
        build_all(drafts, WEBHOOK, NOW, 1 << 22)
    with pytest.raises(TooLarge, match="payloads"):
        build_all([EventDraft("k"), EventDraft("k", title="x" * 2000)], WEBHOOK, NOW, 1000, "payloads[3].data")


def test_events_too_large_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    drafts = [EventDraft("k", raw_data={"around": "x" * 1000, "alerts": [number]}) for number in range(5)]
    assert len(build_all(drafts, WEBHOOK, NOW, 2000)) == 5
    monkeypatch.setattr("event_service.events.event_builder.MOST_BYTES", 4000)
    with pytest.raises(BatchTooLarge, match=r"^data: 5 events are over the limit of 4000 bytes; send it in parts$"):
        build_all(drafts, WEBHOOK, NOW, 2000)
    assert len(build_all(drafts[:1], WEBHOOK, NOW, 2000)) == 1
