"""The HTTP port's certificate: the gRPC port's, but client certificates are not asked for.

Monitoring tools, SDKs and browsers have none: their credentials are in the URL or in the request.
"""

import ssl
from dataclasses import replace

from event_service.tls import Follower, TlsFiles


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """A context that follows the files: each new connection is offered what they hold by then.

    Raises:
        TlsError: they cannot be used at start.
    """
    follower = Follower(replace(files, client_ca=None), _load)

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        follower.renew()
        connection.context = follower.in_use

    # Called at every handshake, whether or not the client names a host.
    first = follower.in_use
    first.sni_callback = choose
    return first


def _load(files: TlsFiles) -> ssl.SSLContext:
    context = files.context()
    context.set_alpn_protocols(["http/1.1"])
    return context
