"""Remote plugins that work, are slow, crash or send invalid replies."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from event_service.errors import PluginVerifyFailed
from event_service.model.event import EventType, Severity
from event_service.normalize.remote_plugin import RemotePlugins
from event_service.normalize.result import Parsed
from tests.e2e.deliveries import Collectors
from tests.e2e.remote_plugin import PluginProcess
from tests.e2e.service import Service, free_port

RECEIVED = datetime(2025, 5, 6, 7, 8, 9, tzinfo=UTC)
LOOPBACK = ("127.0.0.1", "LOCALHOST")


@pytest.fixture(scope="module")
def plugin() -> Iterator[PluginProcess]:
    with PluginProcess() as process:
        yield process


@pytest.fixture
async def remote() -> AsyncIterator[RemotePlugins]:
    plugins = RemotePlugins(timeout=10.0, failures=3, pause=60, allowed_hosts=LOOPBACK)
    yield plugins
    await plugins.close()


async def parse(remote: RemotePlugins, endpoint: str, payload: Any, options: Mapping[str, Any] | None = None) -> Parsed:
    return await remote.parse(endpoint, payload, options or {}, RECEIVED)


def kinds(parsed: Parsed) -> list[str]:
    return [fault.kind or fault.path for item in parsed.bad_items for fault in item.faults]


async def test_each_event_keeps_its_own_member_of_the_payload(remote: RemotePlugins, plugin: PluginProcess) -> None:
    payload = {"alerts": [{"id": "a"}, {"id": "b"}], "site": "Seoul"}
    parsed = await parse(remote, plugin.endpoint, payload)
    assert parsed.faults == []
    assert [event.event_key for event in parsed.events] == ["a", "b"]
    assert parsed.events[1].raw_data == {"alerts": [{"id": "b"}], "site": "Seoul"}


async def test_no_events_are_fine(remote: RemotePlugins, plugin: PluginProcess) -> None:
    assert await parse(remote, plugin.endpoint, {"alerts": []}) == Parsed(source="plugin")


async def test_a_full_answer(remote: RemotePlugins, plugin: PluginProcess) -> None:
    result = {
        "event_key": "k",
        "event_type": "RECOVERY",
        "title": " t ",
        "description": "d",
        "severity": "CRITICAL",
        "resource": {"name": "web-1"},
        "resources": ["db-1"],
        "rule": "r",
        "occurred_at": "2025-05-06T07:00:00.1234567Z",
        "additional_info": {"a": [1, " b "]},
        "image_url": "https://example.org/a.png",
        "provider": "aws",
        "account": "1",
    }
    (event,) = (await parse(remote, plugin.endpoint, {"do": "answer", "results": [result]})).events
    assert (event.event_type, event.severity, event.title) == (EventType.RECOVERY, Severity.CRITICAL, "t")
    assert event.resources == ["db-1", "web-1"]
    assert event.additional_info == {"a": [1.0, "b"]}
    assert event.occurred_at == datetime(2025, 5, 6, 7, 0, 0, 123000, tzinfo=UTC)


async def test_results_are_held_to_the_rules_and_the_good_ones_are_kept(
    remote: RemotePlugins, plugin: PluginProcess
) -> None:
    results = [{"event_key": "k", "title": "t"}, {"title": "no key"}, {"event_key": "k", "event_type": "BOGUS"}]
    parsed = await parse(remote, plugin.endpoint, {"do": "answer", "results": results})
    assert [event.event_key for event in parsed.events] == ["k"]
    assert kinds(parsed) == ["plugin.results[1].event_key", "plugin.results[2].event_type"]
    assert parsed.bad_items[0].raw_data == {"do": "answer", "results": [results[1]]}


async def test_options_reach_the_plugin_set_even_where_they_are_empty(
    remote: RemotePlugins, plugin: PluginProcess
) -> None:
    (event,) = (await parse(remote, plugin.endpoint, {"do": "options"})).events
    assert event.description == "{}"
    options = {"endpoint": plugin.endpoint, "a": 1}
    (event,) = (await parse(remote, plugin.endpoint, {"do": "options"}, options)).events
    assert event.description == '{"a": 1.0}'


async def test_the_members_of_a_list_travel_one_by_one(remote: RemotePlugins, plugin: PluginProcess) -> None:
    payload = [{"alerts": [{"id": "a"}]}, "text", {"alerts": [{"id": "b"}]}]
    parsed = await parse(remote, plugin.endpoint, payload)
    assert [event.event_key for event in parsed.events] == ["a", "b"]
    assert [event.raw_data for event in parsed.events] == [payload[0], payload[2]]
    assert kinds(parsed) == ["[1]"]


async def test_a_refusal_keeps_the_payload_and_says_what_the_plugin_said(
    remote: RemotePlugins, plugin: PluginProcess
) -> None:
    parsed = await parse(remote, plugin.endpoint, {"do": "refuse"})
    assert kinds(parsed) == ["status-internal"]
    assert "ERROR_PARSE_EVENT: the payload is not mine" in parsed.faults[0]
    assert parsed.bad_items[0].raw_data == {"do": "refuse"}


async def test_a_slow_plugin_is_not_waited_for(plugin: PluginProcess) -> None:
    plugins = RemotePlugins(timeout=0.5, allowed_hosts=LOOPBACK)
    started = time.monotonic()
    parsed = await parse(plugins, plugin.endpoint, {"do": "sleep", "seconds": 20})
    assert kinds(parsed) == ["timeout"]
    assert 0.4 < time.monotonic() - started < 10
    await plugins.close()


async def test_a_crash_and_the_calls_after_it() -> None:
    plugins = RemotePlugins(failures=1000, allowed_hosts=LOOPBACK)
    with PluginProcess() as plugin:
        assert kinds(await parse(plugins, plugin.endpoint, {"do": "crash"})) == ["unavailable"]
        plugin.stop()
        plugin.start()
        # The connection of before is gone; a new one is opened automatically.
        for _ in range(100):
            if (await parse(plugins, plugin.endpoint, {"alerts": [{"id": "a"}]})).events:
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("the plugin was never found again")
    await plugins.close()


async def test_unreachable_plugin_is_skipped_after_failures(remote: RemotePlugins) -> None:
    endpoint = f"grpc://127.0.0.1:{free_port()}"
    for _ in range(3):
        assert kinds(await parse(remote, endpoint, {"a": 1})) == ["unavailable"]
    parsed = await parse(remote, endpoint, {"a": 1})
    assert kinds(parsed) == ["unavailable"]
    assert "not called for a while" in parsed.faults[0]


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:1", "grpc://", "grpc://host", "grpc://[::1", "grpc://h:x"])
async def test_an_endpoint_that_is_none(remote: RemotePlugins, endpoint: str) -> None:
    assert kinds(await parse(remote, endpoint, {"a": 1})) == ["endpoint"]


async def test_only_allowed_hosts_are_called(plugin: PluginProcess) -> None:
    payload = {"alerts": [{"id": "a"}]}
    elsewhere = f"grpc://127.0.0.1:{free_port()}"
    for allowed, known, kind in (
        (["127.0.0.1", "plugins.internal"], [], []),
        (["plugins.internal"], [], ["endpoint"]),
        (["plugins.internal"], [plugin.endpoint], []),
        (["plugins.internal"], [elsewhere], ["endpoint"]),
        ([], [], ["endpoint"]),
        ([], [plugin.endpoint], []),
    ):
        plugins = RemotePlugins(allowed_hosts=allowed, known_endpoints=known)
        assert kinds(await parse(plugins, plugin.endpoint, payload)) == kind
        if kind:
            with pytest.raises(PluginVerifyFailed, match=r"127\.0\.0\.1 is not in EVENT_SERVICE_PLUGIN_ENDPOINT_HOSTS"):
                await plugins.init(plugin.endpoint, {})
        await plugins.close()


async def test_nonsense(remote: RemotePlugins) -> None:
    with PluginProcess(nonsense=True) as plugin:
        assert kinds(await parse(remote, plugin.endpoint, {"a": 1})) == ["malformed"]
        with pytest.raises(PluginVerifyFailed):
            await remote.init(plugin.endpoint, {})


async def test_init_and_verify(remote: RemotePlugins, plugin: PluginProcess) -> None:
    assert await remote.init(plugin.endpoint, {}) == {"kept": True}
    await remote.verify(plugin.endpoint, {"token": "good"})
    with pytest.raises(PluginVerifyFailed, match="the token is not good"):
        await remote.verify(plugin.endpoint, {"token": "bad"})
    with pytest.raises(PluginVerifyFailed, match="cannot be reached"):
        await remote.verify(f"grpc://127.0.0.1:{free_port()}", {})


async def test_only_so_many_connections_are_kept(plugin: PluginProcess) -> None:
    plugins = RemotePlugins(timeout=10.0, most_endpoints=1, allowed_hosts=LOOPBACK)
    for host in ("127.0.0.1", "localhost", "127.0.0.1"):
        parsed = await parse(plugins, f"grpc://{host}:{plugin.port}", {"alerts": [{"id": "a"}]})
        assert len(parsed.events) == 1
    await plugins.close()


def error_of(collectors: Collectors, webhook_id: str) -> dict[str, Any]:
    """Return the one event of a webhook, which stands for what could not be read."""
    (row,) = collectors.events(webhook_id)
    assert (row["event_type"], row["severity"]) == ("ERROR", "CRITICAL")
    assert row["title"].startswith("Webhook Event Parsing Error - ")
    return row


def test_a_delivery_is_read_by_the_plugin(collectors: Collectors, plugin: PluginProcess) -> None:
    webhook_id, url = collectors.webhook("remote", "plugin-remote", endpoint=plugin.endpoint, token="good")
    payload = {"alerts": [{"id": "a"}, {"id": "b"}], "site": "Seoul"}
    shown = collectors.test(webhook_id, json.dumps(payload).encode(), {})
    assert [row["event_key"] for row in shown["events"]] == ["a", "b"]
    assert collectors.post(url, payload).json() == {}
    rows = collectors.events(webhook_id)
    assert [row["event_key"] for row in rows] == ["a", "b"]
    assert rows[1]["raw_data"] == {"alerts": [{"id": "b"}], "site": "Seoul"}
    collectors.ask("/monitoring/v1/webhook/verify-plugin", webhook_id=webhook_id)
    kept = collectors.ask("/monitoring/v1/webhook/get", webhook_id=webhook_id)["plugin_info"]
    assert (kept["metadata"], kept["options"]["token"]) == ({"kept": True}, "************")


def test_a_plugin_that_takes_too_long(collectors: Collectors, plugin: PluginProcess) -> None:
    webhook_id, url = collectors.webhook("slow", "plugin-slow", endpoint=plugin.endpoint)
    started = time.monotonic()
    answer = collectors.post(url, {"do": "sleep", "seconds": 60})
    assert answer.status_code == 200
    assert time.monotonic() - started < 20
    assert error_of(collectors, webhook_id)["description"] == "plugin: did not answer within 5 s"


def test_a_plugin_that_refuses_and_one_that_answers_what_is_no_event(
    collectors: Collectors, plugin: PluginProcess
) -> None:
    webhook_id, url = collectors.webhook("refuses", "plugin-refuses", endpoint=plugin.endpoint)
    collectors.post(url, {"do": "refuse"})
    assert "ERROR_PARSE_EVENT: the payload is not mine" in error_of(collectors, webhook_id)["description"]
    webhook_id, url = collectors.webhook("half", "plugin-half", endpoint=plugin.endpoint)
    collectors.post(url, {"do": "answer", "results": [{"event_key": "k"}, {"title": "no key"}]})
    assert sorted(row["event_type"] for row in collectors.events(webhook_id)) == ["ALERT", "ERROR"]


def test_a_plugin_that_answers_nonsense(collectors: Collectors) -> None:
    with PluginProcess() as honest:
        webhook_id, url = collectors.webhook("nonsense", "plugin-nonsense", endpoint=honest.endpoint)
    with PluginProcess(nonsense=True, port=honest.port):
        assert collectors.post(url, {"a": 1}).status_code == 200
    assert error_of(collectors, webhook_id)["description"] == "plugin: the answer is not an EventsInfo"


def test_what_a_crashed_plugin_could_not_read_is_replayed_when_it_is_there_again(collectors: Collectors) -> None:
    with PluginProcess() as plugin:
        webhook_id, url = collectors.webhook("crashes", "plugin-crashes", endpoint=plugin.endpoint)
        answer = collectors.post(url, {"do": "crash"})
        assert (answer.status_code, answer.json()) == (200, {})
        collectors.post(url, {"alerts": [{"id": "a"}]})
        rows = collectors.events(webhook_id)
        assert [row["raw_data"] for row in rows] == [{"do": "crash"}, {"alerts": [{"id": "a"}]}]
        assert len({row["alert_id"] for row in rows}) == 1, "a broken plugin is one alert"
        plugin.stop()
        plugin.start()
        request = {"event_id": rows[1]["event_id"]}
        for _ in range(100):  # until the service has found it again
            replay = collectors.ask("/event_service/v1/events/replay", **request)
            if "faults" not in replay:
                break
            time.sleep(0.1)
        (event_id,) = replay["event_ids"]
        again = collectors.ask("/event_service/v1/events/replay", **request)
        assert (again["event_ids"], again["duplicate"]) == ([event_id], True)
    (replayed,) = [row for row in collectors.events(webhook_id) if row["event_type"] == "ALERT"]
    assert (replayed["event_id"], replayed["event_key"]) == (event_id, "a")
    assert replayed["additional_info"] == {"replayed_from": rows[1]["event_id"]}
    assert replayed["occurred_at"] == rows[1]["created_at"]


def test_a_plugin_that_is_not_there_when_the_webhook_is_made(service: Service) -> None:
    plugin_info = {"plugin_id": "plugin-gone", "options": {"endpoint": f"grpc://127.0.0.1:{free_port()}"}}
    with pytest.raises(grpc.RpcError) as caught:
        service.call("Webhook", "create", {"name": "gone", "project_id": "project-1", "plugin_info": plugin_info})
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith("ERROR_PLUGIN_VERIFY_FAILED: ")
