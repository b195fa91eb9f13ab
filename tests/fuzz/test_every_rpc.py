"""Any message to any method is answered or refused, never with INTERNAL or UNKNOWN."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from hypothesis import given
from hypothesis import strategies as st

from event_service._gen.event_service.v1 import alerts_pb2, events_pb2, ingest_pb2, webhooks_pb2
from event_service._gen.spaceone.api.monitoring.v1 import alert_pb2, event_pb2, webhook_pb2
from tests.e2e.service import Service
from tests.fuzz.messages import messages
from tests.fuzz.search import CALLS

pytestmark = [pytest.mark.fuzz, pytest.mark.xdist_group("fuzz")]

SERVICES: list[ServiceDescriptor] = [
    event_pb2.DESCRIPTOR.services_by_name["Event"],
    alert_pb2.DESCRIPTOR.services_by_name["Alert"],
    webhook_pb2.DESCRIPTOR.services_by_name["Webhook"],
    alerts_pb2.DESCRIPTOR.services_by_name["Alerts"],
    events_pb2.DESCRIPTOR.services_by_name["Events"],
    ingest_pb2.DESCRIPTOR.services_by_name["Ingest"],
    webhooks_pb2.DESCRIPTOR.services_by_name["Webhooks"],
]
METHODS = [
    method
    for service in SERVICES
    for method in service.methods
    if method.full_name != "spaceone.api.monitoring.v1.Alert.update_state"  # UNIMPLEMENTED on purpose
]

FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNIMPLEMENTED}
SECONDS = 10.0
WATCHED_SECONDS = 0.05  # a stream without messages never ends


@dataclass
class Target:
    """The service and its data."""

    channel: grpc.Channel
    webhook: tuple[str, str] = ("", "")
    known: list[str] = field(default_factory=list)

    def call(self, method: MethodDescriptor, request: bytes) -> grpc.StatusCode:
        """Return the status code of a call with these bytes."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        try:
            if method.server_streaming:
                for _ in self.channel.unary_stream(path)(request, timeout=WATCHED_SECONDS):
                    pass
            elif method.client_streaming:
                self.channel.stream_unary(path)(iter([request, request]), timeout=SECONDS)
            else:
                self.channel.unary_unary(path)(request, timeout=SECONDS)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return grpc.StatusCode.OK


@pytest.fixture(scope="module")
def target(service: Service) -> Iterator[Target]:
    with service.channel() as channel:
        webhook = service.create_webhook("fuzzed")
        service.create_event(webhook, {"event_key": "k", "title": "t", "additional_info": {"a": [1, {"b": None}]}})
        (event,) = service.call("Event", "list", {"webhook_id": webhook[0]})["results"]
        known = [*webhook, event["event_id"], event["alert_id"], "native", "auto", "project-1", "k", "TRIGGERED"]
        yield Target(channel, webhook, known)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
@CALLS
@given(data=st.data())
def test_any_message_is_answered_or_refused(target: Target, method: MethodDescriptor, data: st.DataObject) -> None:
    message = data.draw(messages(method.input_type, target.known))
    code = target.call(method, message.SerializeToString())
    assert code not in FAULTS, message
    assert code is not grpc.StatusCode.DEADLINE_EXCEEDED or method.server_streaming, message


@CALLS
@given(method=st.sampled_from(METHODS), wire=st.binary(max_size=200))
def test_any_bytes_are_answered_or_refused(target: Target, method: MethodDescriptor, wire: bytes) -> None:
    assert target.call(method, wire) not in FAULTS
