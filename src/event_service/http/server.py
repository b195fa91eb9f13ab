"""uvicorn inside the service's event loop: no signal handlers, no logging, no process exit of its own.

uvicorn would log paths, which may hold access keys; `middleware.py` logs the routes instead.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from event_service.http.connection import BoundedConnection

KEEP_ALIVE_SECONDS = 75  # longer than the 60 s after which common proxies close idle connections
BACKLOG = 1024


class HttpServer:
    """A server of an ASGI application on one address.

    Args:
        address: `HOST:PORT` or `[IPV6]:PORT`; port 0 = any free port.
        tls: None for plain HTTP.
        reuse_port: share the port with other processes of this service.
    """

    def __init__(
        self,
        app: ASGIApp,
        address: str,
        connection: type[BoundedConnection] = BoundedConnection,
        *,
        tls: ssl.SSLContext | None = None,
        reuse_port: bool = False,
    ) -> None:
        self._address = address
        self._reuse_port = reuse_port
        self._scheme = "http" if tls is None else "https"
        self._config = uvicorn.Config(
            app,
            http=connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            # Any client can forge X-Forwarded-For.
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            backlog=BACKLOG,
            ssl_context_factory=None if tls is None else lambda *_: tls,
        )
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """Return the listening port; 0 before the start."""
        return self._port

    @property
    def scheme(self) -> str:
        """Return `http` or `https`."""
        return self._scheme

    async def start(self) -> None:
        """Listen; return once connections are accepted.

        Raises:
            OSError: the address cannot be bound.
            ValueError: the address is not HOST:PORT.
        """
        listener = _listen(self._address, reuse_port=self._reuse_port)
        self._port = listener.getsockname()[1]
        self._server = _Server(self._config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="http server")
        # uvicorn has no event for this.
        while not self._server.started:
            if self._serving.done():
                listener.close()
                await self._serving
                raise OSError(f"the HTTP server on {self._address} stopped during its start")
            await asyncio.sleep(0.005)

    async def stop(self, grace: float) -> None:
        """Stop accepting connections, wait for the requests in flight, and cancel those that exceed the grace period.

        Args:
            grace: seconds.
        """
        if self._server is None or self._serving is None:
            return
        for listener in self._server.servers:
            listener.close()
        self._config.timeout_graceful_shutdown = max(grace, 0)  # type: ignore[assignment]  # a float works too
        self._server.should_exit = True
        await self._serving
        self._server = self._serving = None


class _Server(uvicorn.Server):
    # The process handles its signals itself.
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(address: str, *, reuse_port: bool) -> socket.socket:
    host, separator, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"the HTTP address {address!r} must be HOST:PORT")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, int(port)), family=family, backlog=BACKLOG, reuse_port=reuse_port)
    listener.setblocking(False)
    return listener
