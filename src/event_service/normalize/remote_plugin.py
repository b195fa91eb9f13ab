"""Remote parsers: upstream's plugin protocol, `Event.parse` and `Webhook.init` and `verify`, over gRPC.

The protocol has neither authentication nor encryption: run plugins on a private network. Every failure of a plugin
becomes a bad item that keeps the payload, so that it can be replayed.

Source: proto/spaceone/api/monitoring/plugin/.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import DecodeError

from event_service._gen.spaceone.api.monitoring.plugin import webhook_pb2
from event_service.concurrency.thread_pool import RunInThread
from event_service.errors import InvalidArgument, PluginVerifyFailed
from event_service.normalize.breaker import Breaker
from event_service.normalize.plugin_results import read_results
from event_service.normalize.result import (
    FROM_PLUGIN,
    MOST_EVENTS,
    BadItem,
    Fault,
    Json,
    Options,
    Parsed,
    ParseError,
    raw_object,
)
from event_service.normalize.splitting import check_members, too_much
from event_service.wire.json_text import LARGE_BODY
from event_service.wire.struct_decode import struct_to_dict
from event_service.wire.struct_encode import encode_struct
from event_service.wire.varint import varint

_PACKAGE = "/spaceone.api.monitoring.plugin"
_METADATA = (("token", "NO_TOKEN"),)  # as upstream sends it; plugins ignore it
_OPTIONS_TAG, _DATA_TAG = b"\x0a", b"\x12"  # fields 1 and 2, length-delimited, the same in all three requests
_PROBLEM_LENGTH = 500  # characters of a plugin's error text
_RECONNECT_SECONDS = 0.5
_CONCURRENT_MEMBERS = 8

# Status codes that grpc itself sets when the plugin does not answer.
_UNANSWERED = {
    grpc.StatusCode.UNAVAILABLE: "unavailable",
    grpc.StatusCode.DEADLINE_EXCEEDED: "timeout",
    grpc.StatusCode.CANCELLED: "unavailable",
}


class _Failed(Exception):
    """A call without a usable answer."""

    def __init__(self, problem: str, kind: str) -> None:
        super().__init__(problem)
        self.fault = Fault("plugin", problem, kind)


@dataclass(slots=True)
class _Plugin:
    """A connection and its circuit breaker."""

    channel: grpc.aio.Channel
    breaker: Breaker


class RemotePlugins:
    """Client of plugin servers, with one connection per endpoint, opened on first use.

    Args:
        timeout: seconds for all calls of a payload together.
        failures: unanswered calls in a row that open the circuit breaker of an endpoint.
        pause: seconds it stays open.
        most_endpoints: connections kept; the least recently used one is closed for the next.
        max_answer_bytes: limit of an answer.
        allowed_hosts: hosts that may be called; empty for any. In lower case, IPv6 addresses without brackets.
        known_endpoints: endpoints that may be called on any host.
        run_in_thread: parses answers of more than LARGE_BODY bytes; None = in the event loop.
    """

    def __init__(
        self,
        *,
        timeout: float = 5.0,
        failures: int = 5,
        pause: float = 30.0,
        most_endpoints: int = 64,
        max_answer_bytes: int = 16 * 1024 * 1024,
        allowed_hosts: Collection[str] = (),
        known_endpoints: Iterable[str] = (),
        run_in_thread: RunInThread | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout = timeout
        self._failures = failures
        self._pause = pause
        self._most_endpoints = most_endpoints
        self._max_answer_bytes = max_answer_bytes
        self._allowed_hosts = {host.lower() for host in allowed_hosts}
        self._known_endpoints = frozenset(known_endpoints)
        self._run_in_thread = run_in_thread
        self._clock = clock
        self._plugins: OrderedDict[str, _Plugin] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    async def parse(self, endpoint: str, payload: Json, options: Options, received_at: datetime) -> Parsed:
        """Parse a payload with the plugin.

        The protocol takes objects only: members of a list are sent separately, up to eight concurrently.

        Args:
            endpoint: `grpc://host:port`.
            options: the webhook's.

        Returns:
            Events that are valid in the native format, and a bad item for each timeout, error or invalid answer. One
            bad item for all of a list that exceeds the limits or has no object.

        Raises:
            InvalidArgument: the payload cannot be stored.
        """
        deadline = self._clock() + self._timeout
        if not isinstance(payload, list):
            parsed = await self._parse_object(endpoint, payload, "", options, received_at, deadline=deadline)
            parsed.source = FROM_PLUGIN
            return parsed
        waiting = deque(enumerate(payload))
        parts: dict[int, Parsed] = {}
        room = MOST_EVENTS

        async def parse_members() -> None:
            nonlocal room
            while waiting and room >= 0:
                index, member = waiting.popleft()
                part = parts[index] = await self._parse_object(
                    endpoint, member, f"[{index}]", options, received_at, deadline=deadline
                )
                room -= len(part.events) + len(part.bad_items)

        try:
            check_members(payload)
            await asyncio.gather(*(parse_members() for _ in range(_CONCURRENT_MEMBERS)))
            if room < 0:
                raise too_much("", f"makes more than {MOST_EVENTS} events, the limit of one delivery")
        except ParseError as error:
            return Parsed(bad_items=[BadItem(error.faults, raw_object(payload))], source=FROM_PLUGIN)
        finally:
            waiting.clear()  # after a failure the other workers stop after their current member
        parsed = Parsed(source=FROM_PLUGIN)
        for _, part in sorted(parts.items()):
            parsed.events += part.events
            parsed.bad_items += part.bad_items
        return parsed

    async def init(self, endpoint: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metadata that the plugin stores with the webhook.

        Raises:
            PluginVerifyFailed: no answer, or an invalid one.
        """
        answer = await self._ask(endpoint, "Webhook/init", options)
        if len(answer) > LARGE_BODY:
            raise PluginVerifyFailed(f"The plugin's answer to init has more than {LARGE_BODY} bytes.")
        try:
            metadata = webhook_pb2.WebhookPluginInfo.FromString(answer).metadata
            return struct_to_dict(metadata, path="metadata")
        except (DecodeError, InvalidArgument) as error:
            raise PluginVerifyFailed("The plugin's answer to init is not a WebhookPluginInfo.") from error

    async def verify(self, endpoint: str, options: Mapping[str, Any]) -> None:
        """Verify the options with the plugin.

        Raises:
            PluginVerifyFailed: it refuses them or does not answer.
        """
        await self._ask(endpoint, "Webhook/verify", options)

    async def close(self) -> None:
        """Close all connections."""
        plugins = list(self._plugins.values())
        self._plugins.clear()
        await asyncio.gather(*(plugin.channel.close(None) for plugin in plugins), *self._closing)

    async def _parse_object(
        self, endpoint: str, member: Json, path: str, options: Options, received_at: datetime, *, deadline: float
    ) -> Parsed:
        if not isinstance(member, dict):
            return Parsed(bad_items=[BadItem([Fault(path, "must be a JSON object")], raw_object(member))])
        request = _field(_OPTIONS_TAG, _plugin_options(options)) + _field(_DATA_TAG, encode_struct(member))
        try:
            answer = await self._call(endpoint, "Event/parse", request, deadline)
            if self._run_in_thread is None or len(answer) <= LARGE_BODY:
                return read_results(answer, member, received_at)
            return await self._run_in_thread(read_results, answer, member, received_at)
        except _Failed as failure:
            return Parsed(bad_items=[BadItem([failure.fault], member)])
        except ParseError as error:
            return Parsed(bad_items=[BadItem(error.faults, member)])

    async def _ask(self, endpoint: str, method: str, options: Mapping[str, Any]) -> bytes:
        request = _field(_OPTIONS_TAG, _plugin_options(options))
        try:
            return await self._call(endpoint, method, request, self._clock() + self._timeout)
        except _Failed as failure:
            raise PluginVerifyFailed(f"The plugin at {endpoint} {failure.fault.problem}.") from failure

    async def _call(self, endpoint: str, method: str, request: bytes, deadline: float) -> bytes:
        """Call a method, once more if the connection was lost."""
        plugin = self._plugin(endpoint)
        if not plugin.breaker.allows():
            raise _Failed("did not answer repeatedly and is not called for a while", plugin.breaker.reason)
        call = plugin.channel.unary_unary(f"{_PACKAGE}.{method}", _unchanged, _unchanged)
        again = True
        while True:
            try:
                answer = await call(request, timeout=max(deadline - self._clock(), 0.001), metadata=_METADATA)
            except grpc.aio.AioRpcError as error:
                # UNAVAILABLE on an idle connection often means that the plugin was restarted.
                if (
                    again
                    and error.code() is grpc.StatusCode.UNAVAILABLE
                    and await _is_ready(plugin.channel, deadline - self._clock())
                ):
                    again = False
                    continue
                raise self._failure(plugin, error) from error
            plugin.breaker.answered()
            return bytes(answer)

    def _failure(self, plugin: _Plugin, error: grpc.aio.AioRpcError) -> _Failed:
        code = error.code()
        if (kind := _UNANSWERED.get(code)) is not None:
            plugin.breaker.failed(kind)
            problem = f"did not answer within {self._timeout:g} s" if kind == "timeout" else "cannot be reached"
            return _Failed(problem, kind)
        plugin.breaker.answered()
        details = (error.details() or "")[:_PROBLEM_LENGTH]
        return _Failed(f"answered {code.name}: {details}", f"status-{code.name.lower()}")

    def _plugin(self, endpoint: str) -> _Plugin:
        host, target = _target_of(endpoint)
        if self._allowed_hosts and host not in self._allowed_hosts and endpoint not in self._known_endpoints:
            raise _Failed(f"may not be called: the host {host[:100]} is not allowed by the service", "endpoint")
        plugin = self._plugins.get(target)
        if plugin is None:
            plugin = _Plugin(self._connect(target), Breaker(self._failures, self._pause, self._clock))
            self._plugins[target] = plugin
            if len(self._plugins) > self._most_endpoints:
                _, oldest = self._plugins.popitem(last=False)
                # The grace period lets calls in flight finish.
                task = asyncio.create_task(oldest.channel.close(self._timeout))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        self._plugins.move_to_end(target)
        return plugin

    def _connect(self, target: str) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(
            target,
            options=[
                ("grpc.max_receive_message_length", self._max_answer_bytes),
                ("grpc.max_send_message_length", -1),  # the service has limited the payload already
                ("grpc.initial_reconnect_backoff_ms", 200),
                ("grpc.max_reconnect_backoff_ms", 2000),
                ("grpc.enable_http_proxy", 0),  # plugins run on the private network
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )


async def _is_ready(channel: grpc.aio.Channel, seconds: float) -> bool:
    """Return True if the plugin reconnects within half a second, as after a restart."""
    try:
        await asyncio.wait_for(channel.channel_ready(), min(seconds, _RECONNECT_SECONDS))
    except TimeoutError:
        return False
    return True


def _unchanged(wire: bytes) -> bytes:
    """Pass bytes through unchanged: grpc would hide the reason why a message is invalid."""
    return wire


def _target_of(endpoint: str) -> tuple[str, str]:
    """Return the host in lower case and `host:port` of `grpc://host:port`."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or parts.scheme != "grpc":
        raise _Failed(f"has no address: the endpoint must be grpc://HOST:PORT, not {endpoint[:100]!r}", "endpoint")
    return host, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _plugin_options(options: Mapping[str, Any]) -> bytes:
    """Return the options as a Struct, without those that only this service uses."""
    return encode_struct({name: value for name, value in options.items() if name != "endpoint"}, path="options")


def _field(tag: bytes, wire: bytes) -> bytes:
    """Return a message field that is present even if empty: plugins refuse a request without options."""
    return tag + varint(len(wire)) + wire
