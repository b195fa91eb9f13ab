"""Run a gRPC server for tests of the command line, on a free port."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc


@contextmanager
def serving(server: grpc.Server, credentials: grpc.ServerCredentials | None) -> Iterator[str]:
    """Run the server; yield its HOST:PORT. None for credentials: no TLS."""
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
