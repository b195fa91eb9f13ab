"""A TCP proxy between the driver and a database that injects faults."""

import contextlib
import socket
import threading
import time
from typing import Self

from pymongo.uri_parser import parse_uri


class TcpProxy:
    """Forwards connections from a port of its own to `target`.

    Args:
        target: host and port, or the path of a Unix socket.

    Attributes:
        delay: seconds every piece of a reply is held back.
        silent: replies are swallowed; connections stay open, as when a cable is pulled.
    """

    def __init__(self, target: tuple[str, int] | str) -> None:
        self.delay = 0.0
        self.silent = False
        self._target = target
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.port = 0
        self.open()

    @classmethod
    def of_uri(cls, uri: str) -> Self:
        """Return a proxy in front of the first server that a MongoDB URI names."""
        host, port = parse_uri(uri)["nodelist"][0]
        return cls(host if port is None else (host, port))

    def open(self) -> None:
        """Accept connections, on the same port as before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse new connections and reset open ones."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.reset()

    def reset(self) -> None:
        """Reset all open connections."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = self._connect()
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.append((client, server))
            for source, sink, is_reply in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, sink, is_reply), daemon=True).start()

    def _connect(self) -> socket.socket:
        if isinstance(self._target, tuple):
            return socket.create_connection(self._target)
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._target)
        return server

    def _pump(self, source: socket.socket, sink: socket.socket, is_reply: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65_536):
                if is_reply:
                    time.sleep(self.delay)
                    if self.silent:
                        continue
                sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
