"""Events.Export as each role: exactly the rows of a list, whatever event the token names."""

import grpc
import pytest

from event_service._gen.event_service.v1 import events_pb2, events_pb2_grpc
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from tests.e2e.foreign import ForeignClient
from tests.e2e.trust.conftest import Trust

pytestmark = pytest.mark.xdist_group("trust")

PLACES = {
    "here": {},
    "other project": {"project_id": "project-2"},
    "other workspace": {"wid": "workspace-2"},
    "other domain": {"did": "domain-2"},
}

SEES = {
    "SYSTEM_TOKEN": {"here", "other project"},
    "DOMAIN_ADMIN": {"here", "other project", "other workspace"},
    "WORKSPACE_OWNER": {"here", "other project"},
    "WORKSPACE_MEMBER": {"here"},
    "member of nothing": set(),
}


def make(client: ForeignClient, trust: Trust, place: str) -> str:
    """Return an event in a webhook of its own; its id."""
    claims = dict(PLACES[place])
    project = claims.pop("project_id", "project-1")
    owner = trust.realm.metadata("WORKSPACE_OWNER", **claims)
    wanted = {"name": "export", "project_id": project, "plugin_info": {"plugin_id": "native"}}
    webhook = client.call("Webhook", "create", wanted, **owner).reply
    sender = {name: webhook[name] for name in ("webhook_id", "access_key")}
    client.call("Event", "create", {**sender, "data": {"event_key": "k", "title": place}})
    (row,) = client.call("Event", "list", {"webhook_id": webhook["webhook_id"]}, **owner).reply["results"]
    return str(row["event_id"])


def test_what_each_role_exports(plain_client: ForeignClient, trust: Trust) -> None:
    places = {make(plain_client, trust, place): place for place in PLACES}
    request = events_pb2.ExportRequest()
    request.query.query.filter.add(k="event_id", o="in").v.list_value.extend(list(places))
    with trust.plain.channel() as channel:
        stub = events_pb2_grpc.EventsStub(channel)

        def export(role: str, token: str = "") -> list[event_pb2.EventInfo]:
            asked = events_pb2.ExportRequest(query=request.query, resume_token=token)
            metadata = tuple(trust.realm.metadata(role).items())
            return [row for reply in stub.Export(asked, metadata=metadata, timeout=30) for row in reply.results]

        for role, sees in SEES.items():
            rows = export(role)
            assert {places[row.event_id] for row in rows} == sees
            # Whatever event is named, foreign or not, only own ones come.
            for event_id in places:
                told = export(role, f"2020-01-01T00:00:00.000Z/{event_id}")
                assert [row.event_id for row in told] == [row.event_id for row in rows]
        for role, code in (("USER", "PERMISSION_DENIED"), ("anonymous", "UNAUTHENTICATED")):
            with pytest.raises(grpc.RpcError) as caught:
                export(role)
            assert caught.value.code().name == code
        member = events_pb2.ExportRequest(query=event_pb2.EventQuery(project_id="project-2"))
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.Export(member, metadata=tuple(trust.realm.metadata("WORKSPACE_MEMBER").items()), timeout=30))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
