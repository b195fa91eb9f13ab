"""event_service.v1.Events: decodes requests, runs replay, watch and export, encodes replies."""

from contextlib import aclosing

from event_service._gen.event_service.v1 import events_pb2
from event_service.concurrency.thread_pool import RunInThread
from event_service.errors import RequiredParameter
from event_service.events.export import Exporter
from event_service.events.replay import Replayer
from event_service.events.watch import Watcher
from event_service.identity.authorization import scope_of
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import decode
from event_service.rpc.query_decode import decode_query
from event_service.wire.varint import Prefixes

DESCRIPTOR = events_pb2.DESCRIPTOR.services_by_name["Events"]

QUIET_POLLS = 15
"""Polls without an event after which the new resume token is sent alone."""

_EVENT = Prefixes(1 << 3 | 2)  # WatchResponse.event and ExportResponse.results


class EventsServicer:
    """The methods: serialised request -> serialised reply; fail by raising EventServiceErrors.

    Args:
        run_in_thread: decodes large queries; None = in the event loop.
    """

    def __init__(
        self, replayer: Replayer, watcher: Watcher, exporter: Exporter, run_in_thread: RunInThread | None = None
    ) -> None:
        self._run_in_thread = run_in_thread
        self._replayer = replayer
        self._watcher = watcher
        self._exporter = exporter

    async def replay(self, request: bytes, context: RpcContext) -> bytes:
        """ReplayRequest -> ReplayResponse, once the parsed events are journalled."""
        scope = scope_of(context.caller, "Event", "write")
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

    async def watch(self, request: bytes, context: RpcContext) -> bytes:
        """WatchRequest -> stream of WatchResponses, which ends only by an error or the caller's cancellation."""
        fields = await decode_query(events_pb2.WatchRequest, request, self._run_in_thread)
        equals, token = fields.get("query", {}), fields.get("resume_token", "")
        scope = scope_of(context.caller, project_id=equals.get("project_id", ""))
        query = equals.pop("query", {})
        replies, quiet = context.response_stream, 0
        async with aclosing(self._watcher.watch(scope, query, equals, token)) as batches:
            async for batch in batches:
                replies.check()
                last = events_pb2.WatchResponse(resume_token=batch.token).SerializeToString()
                # Only the last event carries the token: resuming earlier must repeat the rest of the batch.
                for position, wire in enumerate(batch.events, 1):
                    event = _EVENT[len(wire)] + wire
                    await replies.send(event + last if position == len(batch.events) else event)
                quiet = 0 if batch.events else quiet + 1
                if quiet % QUIET_POLLS == 1:
                    await replies.send(last)
        return b""

    async def export(self, request: bytes, context: RpcContext) -> bytes:
        """ExportRequest -> stream of ExportResponses, up to the last event.

        Flow control paces the reads: `send` returns once HTTP/2 admits a page, and only then is the next one read.
        """
        fields = await decode_query(events_pb2.ExportRequest, request, self._run_in_thread)
        equals, token = fields.get("query", {}), fields.get("resume_token", "")
        scope = scope_of(context.caller, project_id=equals.get("project_id", ""))
        query = equals.pop("query", {})
        async with aclosing(self._exporter.export(scope, query, equals, token)) as pages:
            async for page in pages:
                last = events_pb2.ExportResponse(resume_token=page.token).SerializeToString()
                await context.response_stream.send(b"".join([_EVENT[len(wire)] + wire for wire in page.events]) + last)
        return b""
