"""Authentication of HTTP requests, and protection from web pages of other sites.

With auth=none on loopback every local program is trusted. A browser is a local program that runs untrusted code: a web
page can send requests to any address, and can read the responses if its own host name resolves to this machine (DNS
rebinding). Both cases show in two headers that pages cannot set: `Origin` and `Host`.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request

from event_service.errors import PermissionDenied
from event_service.identity.authenticator import Authenticator
from event_service.identity.principal import Principal
from event_service.settings import Settings, is_loopback

_FOREIGN_ORIGIN = (
    "Authentication is off, so requests from web pages of other sites, or with a Host header that does not name this "
    "machine, are refused. Set EVENT_SERVICE_PUBLIC_URL to the address of this service, or set EVENT_SERVICE_AUTH=jwt."
)


class RequestAuthenticator:
    """An authenticator for requests that a browser may have sent."""

    def __init__(self, settings: Settings, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._public = urlsplit(settings.public_url)
        self._checks_origin = settings.auth == "none" and is_loopback(settings.http_address)

    def authenticate(self, request: Request, metadata: Mapping[str, str]) -> Principal:
        """Return the caller. Only the headers of the request are read.

        Args:
            metadata: see `Authenticator.authenticate`.

        Raises:
            Unauthenticated: the token is missing or invalid.
            PermissionDenied: authentication is off, the service listens on loopback only, and a web page of another
                site may have sent the request. Without `Origin`, as curl sends it, only `Host` is checked.
        """
        if self._checks_origin and not self._is_same_origin(request):
            raise PermissionDenied(_FOREIGN_ORIGIN)
        return self._authenticator.authenticate(metadata)

    def _is_same_origin(self, request: Request) -> bool:
        # Not request.url, which replaces an invalid Host header by the server's own address.
        host = request.headers.get("host", "").lower()
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if not (name == self._public.hostname or _is_this_machine(name)):
            return False
        origin = request.headers.get("origin")
        if origin is None:
            return True
        # The origin `null` of a sandboxed page has no host.
        origin_host = origin.lower().partition("://")[2]
        return bool(origin_host) and origin_host in (host, self._public.netloc.lower())


def _is_this_machine(name: str) -> bool:
    # These names and addresses cannot be rebound: no other site can serve a page under them.
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
