"""Lists for remote plugins: checked before any call, and sent with limited concurrency."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from event_service._gen.spaceone.api.monitoring.plugin import event_pb2
from event_service.concurrency.thread_pool import RunInThread
from event_service.errors import InvalidArgument, PluginVerifyFailed
from event_service.normalize.remote_plugin import RemotePlugins
from event_service.normalize.result import MOST_EVENTS, Parsed
from event_service.wire.json_text import LARGE_BODY
from tests.unit.rpc.serving import noting

RECEIVED = datetime(2025, 5, 6, 7, 8, 9, tzinfo=UTC)


class Plugin(RemotePlugins):
    """Answers every call with the same events; records the number of calls and of concurrent ones."""

    def __init__(self, events: int = 1, run_in_thread: RunInThread | None = None) -> None:
        super().__init__(run_in_thread=run_in_thread)
        results = [event_pb2.EventInfo(event_key="k", title="t")] * events
        self.answer = event_pb2.EventsInfo(results=results).SerializeToString()
        self.calls = self.under_way = self.most = 0

    async def _call(self, endpoint: str, method: str, request: bytes, deadline: float) -> bytes:
        self.calls += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        return self.answer


async def parse(plugin: RemotePlugins, payload: Any, options: Mapping[str, Any] | None = None) -> Parsed:
    return await plugin.parse("grpc://127.0.0.1:1", payload, options or {}, RECEIVED)


async def test_members_are_sent_a_few_at_a_time_and_keep_their_order() -> None:
    plugin = Plugin()
    payload = [5 if number == 3 else {"n": number} for number in range(50)]
    parsed = await parse(plugin, payload)
    assert [event.raw_data for event in parsed.events] == [one for one in payload if isinstance(one, dict)]
    assert parsed.faults == ["[3]: must be a JSON object"]
    assert (plugin.calls, plugin.most) == (49, 8)


@pytest.mark.parametrize("payload", [[1] * 300, [{}] * (MOST_EVENTS + 1)])
async def test_list_refused_without_plugin_call_kept_whole(payload: list[Any]) -> None:
    plugin = Plugin()
    parsed = await parse(plugin, payload)
    (item,) = parsed.bad_items
    assert item.raw_data == {"body": payload}
    assert (parsed.events, plugin.calls) == ([], 0)


async def test_plugin_not_called_after_too_many_events() -> None:
    plugin = Plugin(events=MOST_EVENTS // 4)
    payload = [{"n": number} for number in range(100)]
    parsed = await parse(plugin, payload)
    (item,) = parsed.bad_items
    assert (item.raw_data, item.faults[0].kind) == ({"body": payload}, "too-much")
    assert parsed.events == []
    assert plugin.calls <= 16


@pytest.mark.parametrize(("events", "in_thread"), [(1, 0), (MOST_EVENTS, 1)])
async def test_large_answer_parsed_in_thread(events: int, in_thread: int) -> None:
    done: list[str] = []
    parsed = await parse(Plugin(events, noting(done)), {"n": 1})
    assert (len(parsed.events), len(done)) == (events, in_thread)


async def test_too_large_answer_keeps_payload() -> None:
    plugin = Plugin()
    plugin.answer = b"\x0a\x00" * 1_000_000
    (item,) = (await parse(plugin, {"n": 1})).bad_items
    assert (item.raw_data, item.faults[0].problem) == ({"n": 1}, f"the answer holds more than {MOST_EVENTS} events")


async def test_large_answer_to_init_refused() -> None:
    plugin = Plugin(events=LARGE_BODY)
    with pytest.raises(PluginVerifyFailed, match="more than 65536 bytes"):
        await plugin.init("grpc://127.0.0.1:1", {})


async def test_unstorable_member_stops_remaining_calls() -> None:
    plugin = Plugin()
    with pytest.raises(InvalidArgument):
        await parse(plugin, [{"n": 1}, {"n": float("nan")}, *[{"n": 2}] * 100])
    for _ in range(10):
        await asyncio.sleep(0)
    assert plugin.calls <= 16
