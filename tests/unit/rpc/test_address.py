"""Several servers on one port, as several processes have them."""

import contextlib

import grpc
import pytest

from event_service.http.server import HttpServer
from event_service.rpc.address import PortTaken, check_address, reserve_address
from event_service.rpc.server import GrpcServer, Service
from tests.unit.rpc.serving import EVENT, NO_AUTHENTICATION, Methods, settings


def grpc_server(address: str, *, reuse_port: bool = True) -> GrpcServer:
    of_address = settings().model_copy(update={"grpc_address": address})
    return GrpcServer(of_address, [Service(EVENT, Methods())], NO_AUTHENTICATION, reuse_port=reuse_port)


async def test_servers_share_a_reserved_port_that_others_cannot_take() -> None:
    sockets, address = reserve_address("127.0.0.1:0")
    servers = [grpc_server(address) for _ in range(2)]
    for server in servers:
        await server.start()
        assert address == f"127.0.0.1:{server.port}"
    with pytest.raises(PortTaken, match="another process uses the port"):
        await grpc_server(address, reuse_port=False).start()
    with pytest.raises(PortTaken, match="another process uses the port"):
        reserve_address(address)
    await servers[0].stop(0)
    async with grpc.aio.insecure_channel(address) as channel:  # the other one answers
        assert await channel.unary_unary(f"/{EVENT.full_name}/get")(b"abc", wait_for_ready=True) == b"abc"
    await servers[1].stop(0)
    for one in sockets:
        one.close()
    check_address(address)


async def test_http_servers_share_a_port() -> None:
    sockets, address = reserve_address("127.0.0.1:0")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            server = HttpServer(lambda *_: None, address, reuse_port=True)  # type: ignore[arg-type, return-value]
            await server.start()
            stack.push_async_callback(server.stop, 0)
            assert address == f"127.0.0.1:{server.port}"
        with pytest.raises(OSError, match="in use"):
            await HttpServer(lambda *_: None, address).start()  # type: ignore[arg-type, return-value]
    for one in sockets:
        one.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.1:50051"])
def test_an_address_that_cannot_be_reserved_is_named(address: str) -> None:
    with pytest.raises(PortTaken, match=f"cannot listen on {address}"):
        reserve_address(address)


def test_all_addresses_of_a_name_share_the_port() -> None:
    sockets, address = reserve_address("localhost:0")
    port = int(address.removeprefix("localhost:"))
    assert {one.getsockname()[1] for one in sockets} == {port}
    for one in sockets:
        one.close()
    again, same = reserve_address(address)
    assert (same, {one.getsockname()[1] for one in again}) == (address, {port})
    for one in again:
        one.close()
