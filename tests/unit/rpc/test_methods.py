"""The table of methods, and the composition of interceptors."""

import pytest
from google.protobuf import empty_pb2

from event_service._gen.event_service.v1 import webhooks_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2, webhook_pb2
from event_service.errors import InvalidArgument
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import Handler, compose, decode, method_table
from tests.unit.rpc.serving import EVENT, Methods, echo


async def test_compose_keeps_order() -> None:
    passed: list[str] = []

    def noting(name: str) -> object:
        async def interceptor(request: bytes, context: RpcContext, call_next: Handler) -> bytes:
            passed.append(f"> {name}")
            reply = await call_next(request + name.encode(), context)
            passed.append(f"< {name}")
            return reply

        return interceptor

    run = compose([noting("a"), noting("b")], echo)  # type: ignore[list-item]
    assert await run(b"", RpcContext("/s/m", {})) == b"ab"
    assert passed == ["> a", "> b", "< b", "< a"]
    assert compose([], echo) is echo


def test_method_table_complete() -> None:
    servicer = Methods()
    table = method_table(EVENT, servicer)
    assert {path.rpartition("/")[2] for path in table} == {method.name for method in EVENT.methods}
    assert table["/spaceone.api.monitoring.v1.Event/create"] is servicer.create


def test_missing_handler_fails_at_start() -> None:
    servicer = Methods(update=echo, update_plugin=echo, verify_plugin=echo)
    with pytest.raises(ValueError, match=r"Methods does not implement spaceone\.api\.monitoring\.v1\.Webhook\.enable"):
        method_table(webhook_pb2.DESCRIPTOR.services_by_name["Webhook"], servicer)


def test_method_names_to_snake_case() -> None:
    descriptor = webhooks_pb2.DESCRIPTOR.services_by_name["Webhooks"]
    servicer = Methods(rotate_key=echo, test=echo, statistics=echo)
    assert "/event_service.v1.Webhooks/RotateKey" in method_table(descriptor, servicer)


def test_decode_request_or_invalid() -> None:
    assert decode(event_pb2.EventRequest, b"\x0a\x01e").event_id == "e"
    assert decode(empty_pb2.Empty, b"") == empty_pb2.Empty()
    with pytest.raises(InvalidArgument) as caught:
        decode(event_pb2.EventRequest, b"\xff")
    assert caught.value.violations[0].field == "request"
