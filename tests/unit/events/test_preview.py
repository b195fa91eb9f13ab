"""Previews: limited in number and size, and parsed in a thread."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.events.preview import MOST_SHOWN, Preview, Previewer
from event_service.model.scope import Scope
from event_service.normalize.result import MOST_EVENTS
from tests.unit.events.test_delivery import Here
from tests.unit.events.test_replay import Webhooks, deliveries_on

NOW = datetime(2026, 2, 1, tzinfo=UTC)


class Noted(Here):
    """Records the functions that run in a thread."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.done.append(function.__name__)
        return await super().run(function, *arguments)


async def preview(payload: Any, threads: Here | None = None) -> Preview:
    previewer = Previewer(
        webhooks=Webhooks(),
        deliveries=deliveries_on(threads or Here()),
        max_event_bytes=4_000_000,
        clock=lambda: NOW,
    )
    return await previewer.preview(Scope("d"), "webhook-1", payload, {}, is_body=isinstance(payload, bytes))


async def test_previews_of_any_size_are_parsed_in_a_thread() -> None:
    threads = Noted()
    shown = await preview(b'{"title": "Disk full"}', threads)
    (event,) = map(event_pb2.EventInfo.FromString, shown.events)
    assert (event.title, event.event_id, event.webhook_id) == ("Disk full", "", "webhook-1")
    assert event.raw_data["title"] == "Disk full"
    assert threads.done == ["read_body", "_parse", "_preview"]


async def test_preview_shows_the_first_of_many_events() -> None:
    shown = await preview([{"title": str(number)} for number in range(250)])
    assert [event_pb2.EventInfo.FromString(wire).title for wire in shown.events] == [*map(str, range(MOST_SHOWN))]
    assert shown.ignored == ["150 more events, which are not shown"]
    shown = await preview([{"title": "t"}, *[5] * 150])
    assert len(shown.events) == MOST_SHOWN
    assert (len(shown.faults), shown.faults[-1]) == (MOST_SHOWN + 1, "and 50 more")


async def test_preview_shows_one_of_large_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("event_service.events.preview.SHOWN_BYTES", 100)
    shown = await preview([{"title": "x" * 200}, {"title": "t"}])
    assert (len(shown.events), shown.ignored) == (1, ["1 more events, which are not shown"])


async def test_preview_of_a_payload_with_too_many_members() -> None:
    shown = await preview([{}] * (MOST_EVENTS + 1))
    assert len(shown.events) == len(shown.faults) == 1
