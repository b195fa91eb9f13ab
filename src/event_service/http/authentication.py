"""Who sends an HTTP request, for all routes that ask the authenticator; and that no web page of a stranger does.

With auth=none on loopback every program of the machine may do everything. A browser is one of them, and it runs what
strangers write: a page of theirs can send requests to any address, and read the answers too where its own name is made
to point here (DNS rebinding). Both show in headers that pages cannot set: `Origin` and `Host`.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request

from event_service.errors import PermissionDenied
from event_service.identity.authenticator import Authenticator
from event_service.identity.principal import Principal
from event_service.settings import Settings, is_loopback

_FROM_ELSEWHERE = (
    "Nobody is asked for a token here, so requests of web pages from elsewhere are refused, and requests by a name "
    "that is not this machine's. Set EVENT_SERVICE_PUBLIC_URL to the address this service is reached at, or "
    "EVENT_SERVICE_AUTH=jwt."
)


class RequestAuthenticator:
    """The authenticator, for requests that a browser may have sent."""

    def __init__(self, settings: Settings, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._public = urlsplit(settings.public_url)
        self._is_guarded = settings.auth == "none" and is_loopback(settings.http_address)

    def authenticate(self, request: Request, metadata: Mapping[str, str]) -> Principal:
        """Who sends the request. Nothing is read of it but its headers.

        Args:
            metadata: as `Authenticator.authenticate` takes it.

        Raises:
            Unauthenticated: there is no token, or it does not hold.
            PermissionDenied: no token is asked for, only loopback is listened on, and a web page may have sent it that
                is not one of ours. Without an `Origin`, as curl sends it, a request by this machine's name is fine.
        """
        if self._is_guarded and not self._is_from_here(request):
            raise PermissionDenied(_FROM_ELSEWHERE)
        return self._authenticator.authenticate(metadata)

    def _is_from_here(self, request: Request) -> bool:
        # Not request.url: where the header is not to its taste, that has the server's own address for it.
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
        # `null`, where a browser does not say, has none.
        place = origin.lower().partition("://")[2]
        return bool(place) and place in (host, self._public.netloc.lower())


def _is_this_machine(name: str) -> bool:
    """Whether nobody can have a page under this name that is not of this machine; an address is no name."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
