"""The least a request can cost here: a server whose one rpc takes nothing and answers nothing.

    python -m bench.floor PORT

grpc.aio on uvloop, which is what the service stands on; the path is that of Event.get.
"""

import sys

import grpc
import uvloop

SERVICE, METHOD = "spaceone.api.monitoring.v1.Event", "get"


async def _nothing(_request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return b""


async def serve(port: int) -> None:
    """Serve on loopback until it is ended."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handlers = {METHOD: grpc.unary_unary_rpc_method_handler(_nothing)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    if not server.add_insecure_port(f"127.0.0.1:{port}"):
        raise SystemExit(f"port {port} is taken")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
