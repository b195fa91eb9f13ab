"""Every method of the contract is answered, in the order the list of interceptors says."""

import pytest
from google.protobuf import empty_pb2

from event_service._gen.event_service.v1 import webhooks_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2, webhook_pb2
from event_service.errors import InvalidArgument
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import Handler, compose, decode, method_table
from tests.unit.rpc.serving import EVENT, Methods, echo


async def test_interceptors_are_passed_in_their_order() -> None:
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


def test_the_table_has_every_method_of_the_contract() -> None:
    servicer = Methods()
    table = method_table(EVENT, servicer)
    assert {path.rpartition("/")[2] for path in table} == {method.name for method in EVENT.methods}
    assert table["/spaceone.api.monitoring.v1.Event/create"] is servicer.create


def test_a_method_nobody_answers_is_found_at_start() -> None:
    servicer = Methods(update=echo, update_plugin=echo, verify_plugin=echo)
    with pytest.raises(ValueError, match=r"Methods does not implement spaceone\.api\.monitoring\.v1\.Webhook\.enable"):
        method_table(webhook_pb2.DESCRIPTOR.services_by_name["Webhook"], servicer)


def test_names_of_our_own_contract_become_python_names() -> None:
    descriptor = webhooks_pb2.DESCRIPTOR.services_by_name["Webhooks"]
    servicer = Methods(rotate_key=echo, test=echo, statistics=echo)
    assert "/event_service.v1.Webhooks/RotateKey" in method_table(descriptor, servicer)


def test_requests_are_decoded_or_refused() -> None:
    assert decode(event_pb2.EventRequest, b"\x0a\x01e").event_id == "e"
    assert decode(empty_pb2.Empty, b"") == empty_pb2.Empty()
    with pytest.raises(InvalidArgument) as caught:
        decode(event_pb2.EventRequest, b"\xff")
    assert caught.value.violations[0].field == "request"
