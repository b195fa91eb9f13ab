"""event_service.v1.Events: decode, ask, encode."""

from typing import Protocol

from event_service._gen.event_service.v1 import events_pb2
from event_service.errors import RequiredParameter
from event_service.events.replay import Replay
from event_service.identity.access import scope_of
from event_service.model.scope import Scope
from event_service.rpc.call import Call
from event_service.rpc.methods import decode

DESCRIPTOR = events_pb2.DESCRIPTOR.services_by_name["Events"]


class Replayer(Protocol):
    """What this servicer needs of `events/replay.py`."""

    async def replay(self, scope: Scope, event_id: str) -> Replay: ...


class EventsServicer:
    """Answers the methods; each takes and gives serialised messages and refuses by EventServiceErrors."""

    def __init__(self, replayer: Replayer) -> None:
        self._replayer = replayer

    async def replay(self, request: bytes, call: Call) -> bytes:
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
