"""event_service.v1.Events: decode, ask, encode."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from event_service._gen.event_service.v1 import events_pb2
from event_service.errors import RequiredParameter
from event_service.events.export import Part
from event_service.events.replay import Replay
from event_service.events.watch import WatchBatch
from event_service.identity.authorization import scope_of
from event_service.model.scope import Scope
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import decode
from event_service.rpc.query_decode import message_to_dict
from event_service.wire.varint import Prefixes

DESCRIPTOR = events_pb2.DESCRIPTOR.services_by_name["Events"]

QUIET_POLLS = 15
"""Polls without an event after which a watcher hears the new token all the same."""

_EVENT = Prefixes(1 << 3 | 2)  # WatchResponse.event and ExportResponse.results


class Replayer(Protocol):
    """What this servicer needs of `events/replay.py`."""

    async def replay(self, scope: Scope, event_id: str) -> Replay: ...


class Watcher(Protocol):
    """What this servicer needs of `events/watch.py`."""

    def watch(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], token: str = ""
    ) -> AsyncGenerator[WatchBatch, None]: ...


class Exporter(Protocol):
    """What this servicer needs of `events/export.py`."""

    def export(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], token: str = ""
    ) -> AsyncGenerator[Part, None]: ...


class EventsServicer:
    """Answers the methods; each takes and gives serialised messages and refuses by EventServiceErrors."""

    def __init__(self, replayer: Replayer, watcher: Watcher, exporter: Exporter) -> None:
        self._replayer = replayer
        self._watcher = watcher
        self._exporter = exporter

    async def replay(self, request: bytes, call: RpcContext) -> bytes:
        """ReplayRequest -> ReplayResponse, once what was understood is journalled."""
        scope = scope_of(call.caller, "Event", "write")
        message = decode(events_pb2.ReplayRequest, request)
        if not message.event_id:
            raise RequiredParameter("event_id")
        replay = await self._replayer.replay(scope, message.event_id)
        return events_pb2.ReplayResponse(
            event_ids=replay.event_ids,
            duplicate=replay.duplicate,
            faults=replay.faults,
            ignored=replay.ignored,
            parser=replay.parser,
        ).SerializeToString()

    async def watch(self, request: bytes, call: RpcContext) -> bytes:
        """WatchRequest -> WatchResponse, again and again. Ends by an error, the caller's leaving among them."""
        message = decode(events_pb2.WatchRequest, request)
        scope = scope_of(call.caller, project_id=message.query.project_id)
        equals = message_to_dict(message.query, "query")
        query = equals.pop("query", {})
        replies, quiet = call.replies, 0
        async with aclosing(self._watcher.watch(scope, query, equals, message.resume_token)) as news:
            async for one in news:
                replies.check()
                token = events_pb2.WatchResponse(resume_token=one.token).SerializeToString()
                # Behind all but the last of several the token of before holds: some of them are still to come.
                for position, wire in enumerate(one.events, 1):
                    event = _EVENT[len(wire)] + wire
                    await replies.send(event + token if position == len(one.events) else event)
                quiet = 0 if one.events else quiet + 1
                if quiet % QUIET_POLLS == 1:
                    await replies.send(token)
        return b""

    async def export(self, request: bytes, call: RpcContext) -> bytes:
        """ExportRequest -> ExportResponse, again and again until the last event.

        One page is read once the caller has taken the one before: `send` returns when HTTP/2 has room for it.
        """
        message = decode(events_pb2.ExportRequest, request)
        scope = scope_of(call.caller, project_id=message.query.project_id)
        equals = message_to_dict(message.query, "query")
        query = equals.pop("query", {})
        async with aclosing(self._exporter.export(scope, query, equals, message.resume_token)) as parts:
            async for part in parts:
                token = events_pb2.ExportResponse(resume_token=part.token).SerializeToString()
                await call.replies.send(b"".join([_EVENT[len(wire)] + wire for wire in part.events]) + token)
        return b""
