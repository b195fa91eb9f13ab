"""Every method in reflection and the OpenAPI document requires authentication."""

from collections.abc import Iterator

import grpc
import httpx
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from tests.e2e.trust.conftest import Trust

pytestmark = pytest.mark.xdist_group("trust")

# Their requests carry a webhook's access key, which is the credential.
BY_ACCESS_KEY = {
    "spaceone.api.monitoring.v1.Event.create",
    "event_service.v1.Ingest.CreateBatch",
    "event_service.v1.Ingest.CreateStream",
}
TO_EVERYBODY = ("grpc.",)
"""Health and reflection."""

HTTP_BY_ACCESS_KEY = {
    "/monitoring/v1/webhook/{webhook_id}/{access_key}/events": 404,  # no such webhook
    "/event_service/v1/ingest/create-batch": 400,  # no webhook_id
}
HTTP_TO_EVERYBODY = {"/healthz", "/readyz", "/openapi.json", "/metrics"}


def methods(channel: grpc.Channel) -> Iterator[MethodDescriptor]:
    """Yield every method of every service that the server tells of."""
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    # v1 lists every service; the database above speaks v1alpha.
    listing = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    (reply,) = listing(iter([ServerReflectionRequest(list_services="").SerializeToString()]))
    for service in ServerReflectionResponse.FromString(reply).list_services_response.service:
        if not service.name.startswith(TO_EVERYBODY):
            yield from pool.FindServiceByName(service.name).methods


def code_of(channel: grpc.Channel, method: MethodDescriptor, **metadata: str) -> str:
    """Return the code of a call with an empty message."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    sent = tuple(metadata.items())
    try:
        if method.server_streaming and not method.client_streaming:
            next(channel.unary_stream(path)(b"", metadata=sent, timeout=10))
        elif method.client_streaming and method.server_streaming:
            next(channel.stream_stream(path)(iter([b""]), metadata=sent, timeout=10))
        elif method.client_streaming:
            channel.stream_unary(path)(iter([b""]), metadata=sent, timeout=10)
        else:
            channel.unary_unary(path)(b"", metadata=sent, timeout=10)
    except grpc.RpcError as error:
        return str(error.code().name)
    except StopIteration:
        return "OK"
    return "OK"


def test_every_rpc_asks_for_a_token(trust: Trust) -> None:
    with trust.plain.channel() as channel:
        known = {method.full_name: method for method in methods(channel)}
        assert {f"spaceone.api.monitoring.v1.Webhook.{name}" for name in ("create", "delete", "stat")} <= known.keys()
        assert known.keys() >= BY_ACCESS_KEY
        without = {name: code_of(channel, method) for name, method in known.items() if name not in BY_ACCESS_KEY}
        assert without == dict.fromkeys(without, "UNAUTHENTICATED")
        user = trust.realm.metadata("USER")
        as_user = {name: code_of(channel, known[name], **user) for name in without}
        assert as_user == dict.fromkeys(without, "PERMISSION_DENIED")
        # Those are refused for what they lack, and a token makes no difference.
        for name in BY_ACCESS_KEY & known.keys():
            assert {code_of(channel, known[name], **metadata) for metadata in ({}, user)} == {"INVALID_ARGUMENT"}


def test_every_route_asks_for_a_token(trust: Trust, http_client: httpx.Client) -> None:
    paths = http_client.get("/openapi.json").json()["paths"]
    assert "/monitoring/v1/event/list" in paths
    codes = {}
    for path, operations in paths.items():
        filled = path.replace("{webhook_id}", "webhook-1").replace("{access_key}", "x").replace("{project_id}", "p")
        for method in operations.keys() & {"get", "post", "put", "delete", "patch"}:
            if path not in HTTP_TO_EVERYBODY:
                codes[path] = http_client.request(method.upper(), filled, json={}).status_code
    expected = dict.fromkeys(codes, 401) | {path: code for path, code in HTTP_BY_ACCESS_KEY.items() if path in codes}
    assert codes == expected
