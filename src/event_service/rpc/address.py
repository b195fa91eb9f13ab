"""Check that an address is free before a server binds it, and choose the port that several processes share."""

import errno
import socket
from collections.abc import Iterator


class PortTaken(Exception):
    """The server cannot listen on the address; the text is one line for the operator."""


def check_address(address: str) -> None:
    """Check that the server can listen on the address; gRPC's own error does not give the reason.

    Args:
        address: HOST:PORT; `[::1]:50051` for IPv6. Port 0 chooses a free one.

    Raises:
        PortTaken: it cannot; with the operating system's reason.
    """
    try:
        for bound in _bound(address):
            bound.close()
    except (OSError, ValueError) as error:
        raise _taken(address, error) from error


def reserve_address(address: str) -> tuple[list[socket.socket], str]:
    """Reserve an address for processes that bind it with SO_REUSEPORT.

    Args:
        address: as of `check_address`.

    Returns:
        Sockets that do not listen, to be kept open so that the port stays, and the address with the port chosen for 0.

    Raises:
        PortTaken: it cannot be bound, or another program uses it.
    """
    check_address(address)
    host, _, port = address.rpartition(":")
    bound: list[socket.socket] = []
    try:
        for one in _bound(address, reuse_port=True):
            bound.append(one)
            if port == "0":  # a name may have several addresses, which share the port of the first
                return bound, f"{host}:{one.getsockname()[1]}"
    except (OSError, ValueError) as error:
        for one in bound:
            one.close()
        raise _taken(address, error) from error
    return bound, address


def _bound(address: str, *, reuse_port: bool = False) -> Iterator[socket.socket]:
    """Yield a bound socket for each address of the name."""
    host, _, port = address.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, where in found:
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind(where)
        except BaseException:
            bound.close()
            raise
        yield bound


def _taken(address: str, error: Exception) -> PortTaken:
    in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
    reason = "another process uses the port" if in_use else str(error)
    return PortTaken(f"cannot listen on {address}: {reason}")
