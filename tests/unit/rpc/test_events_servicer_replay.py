"""Events.Replay: permissions, requests and responses."""

import pytest

from event_service._gen.event_service.v1 import events_pb2
from event_service.errors import InvalidArgument, PermissionDenied, RequiredParameter, Unauthenticated
from event_service.events.write_request import CreateResult
from event_service.identity.principal import Principal, Role
from event_service.model.scope import Scope
from event_service.rpc.context import RpcContext
from event_service.rpc.events_servicer import EventsServicer

OWNER = Principal(Role.WORKSPACE_OWNER, "d-1", "ws-1")
REQUEST = events_pb2.ReplayRequest(event_id="event-1").SerializeToString()


class FakeReplayer:
    def __init__(self) -> None:
        self.asked: list[tuple[Scope, str]] = []

    async def replay(self, scope: Scope, event_id: str) -> CreateResult:
        self.asked.append((scope, event_id))
        return CreateResult(["event-2"], True, ["title: is missing"], ["acknowledge"], parser="native")


@pytest.fixture
def replayer() -> FakeReplayer:
    return FakeReplayer()


async def ask(replayer: FakeReplayer, request: bytes, principal: Principal | None = OWNER) -> bytes:
    servicer = EventsServicer(replayer, None, None)  # type: ignore[arg-type]
    return await servicer.replay(request, RpcContext("/x", {}, principal=principal))


async def test_replay_response(replayer: FakeReplayer) -> None:
    reply = events_pb2.ReplayResponse.FromString(await ask(replayer, REQUEST))
    assert reply == events_pb2.ReplayResponse(
        event_ids=["event-2"],
        duplicate=True,
        faults=["title: is missing"],
        ignored=["acknowledge"],
        parser="native",
    )
    assert replayer.asked == [(Scope("d-1", "ws-1"), "event-1")]


@pytest.mark.parametrize(
    ("principal", "may"),
    [
        (Principal(Role.SYSTEM_TOKEN, "d-1", "ws-1"), True),
        (Principal(Role.DOMAIN_ADMIN, "d-1"), False),
        (Principal(Role.WORKSPACE_MEMBER, "d-1", "ws-1", ("project-1",)), True),
        (Principal(Role.WORKSPACE_OWNER, "d-1", "ws-1", permissions=("monitoring:Event.read",)), False),
        (Principal(Role.WORKSPACE_OWNER, "d-1", "ws-1", permissions=("monitoring:Event.write",)), True),
        (Principal(Role.USER, "d-1"), False),
    ],
    ids=["system", "admin", "member", "reader", "writer", "user"],
)
async def test_roles_permitted_per_method(replayer: FakeReplayer, principal: Principal, may: bool) -> None:
    if may:
        await ask(replayer, REQUEST, principal)
        return
    with pytest.raises(PermissionDenied):
        await ask(replayer, REQUEST, principal)
    assert replayer.asked == []


async def test_replay_refusals(replayer: FakeReplayer) -> None:
    with pytest.raises(RequiredParameter, match="event_id"):
        await ask(replayer, b"")
    with pytest.raises(InvalidArgument, match="ReplayRequest"):
        await ask(replayer, b"\xff")
    with pytest.raises(Unauthenticated):
        await ask(replayer, REQUEST, None)
