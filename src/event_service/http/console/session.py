"""Sign-in by cookies, and protection of forms against cross-site requests.

The browser keeps the token in a cookie that scripts cannot read. The service keeps no session, so every replica accepts
it. Forms repeat the random value of a second cookie in a field (double submit): another site can make a browser send a
form, but can neither read nor set that cookie.
"""

import secrets
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from event_service.errors import InvalidArgument, PermissionDenied
from event_service.http.authentication import RequestAuthenticator
from event_service.identity.principal import Principal
from event_service.settings import Settings

TOKEN_COOKIE = "event_service_token"  # noqa: S105 - the name of a cookie
DOMAIN_COOKIE = "event_service_domain"
WORKSPACE_COOKIE = "event_service_workspace"
FORM_COOKIE = "event_service_form"
# RFC 6265bis, 5.7: browsers ignore cookies whose name and value are longer.
_COOKIE_BYTES = 4096
FORM_FIELD = "form_token"


class Sessions:
    """The authentication of the console by cookies."""

    def __init__(self, settings: Settings, authenticator: RequestAuthenticator) -> None:
        self.needs_token = settings.auth != "none"
        self._authenticator = authenticator
        self._is_public_over_tls = urlsplit(settings.public_url).scheme == "https"

    def principal(self, request: Request) -> Principal:
        """Return the caller.

        Raises:
            Unauthenticated: the browser is not signed in, or the token has expired.
            PermissionDenied: authentication is off, and a page of another site may have sent the request.
        """
        cookies = request.cookies
        return self.check(
            request, cookies.get(TOKEN_COOKIE, ""), cookies.get(DOMAIN_COOKIE, ""), cookies.get(WORKSPACE_COOKIE, "")
        )

    def check(self, request: Request, token: str, domain_id: str, workspace_id: str) -> Principal:
        """Return the bearer of a token, acting for a domain and workspace if it is a system token.

        Raises:
            Unauthenticated, PermissionDenied: see `principal`.
        """
        return self._authenticator.authenticate(
            request, {"token": token, "x_domain_id": domain_id, "x_workspace_id": workspace_id}
        )

    def sign_in(self, request: Request, response: Response, token: str, domain_id: str, workspace_id: str) -> None:
        """Set cookies with the token that end with the browser's session.

        Raises:
            InvalidArgument: browsers would drop the cookie.
        """
        if len(TOKEN_COOKIE) + len(token) > _COOKIE_BYTES:
            most = _COOKIE_BYTES - len(TOKEN_COOKIE)
            raise InvalidArgument(
                f"The token has {len(token)} bytes, but browsers keep cookies of at most {most}. Use a token with "
                "fewer projects, or the API."
            )
        self._keep(request, response, TOKEN_COOKIE, token)
        self._keep(request, response, DOMAIN_COOKIE, domain_id)
        self._keep(request, response, WORKSPACE_COOKIE, workspace_id)

    def sign_out(self, response: Response) -> None:
        """Delete the cookies."""
        for name in (TOKEN_COOKIE, DOMAIN_COOKIE, WORKSPACE_COOKIE, FORM_COOKIE):
            response.delete_cookie(name, httponly=True, samesite="strict")

    def form_token(self, request: Request) -> str:
        """Return the value for the forms of a page: the browser's cookie, or a new one."""
        known = request.cookies.get(FORM_COOKIE, "")
        # 43 characters: 32 bytes as URL-safe base64.
        return known if len(known) == 43 and known.isascii() else secrets.token_urlsafe(32)

    def keep_form_token(self, request: Request, response: Response, form_token: str) -> None:
        """Set the cookie of a new form token."""
        if request.cookies.get(FORM_COOKIE) != form_token:
            self._keep(request, response, FORM_COOKIE, form_token)

    def check_form(self, request: Request, form_token: str) -> None:
        """Raise PermissionDenied if the form was not sent from a page of the console."""
        known = request.cookies.get(FORM_COOKIE, "")
        # Browsers without Sec-Fetch-Site are covered by the token.
        is_cross_site = request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        if is_cross_site or not known or not secrets.compare_digest(known.encode(), form_token.encode()):
            raise PermissionDenied

    def _keep(self, request: Request, response: Response, name: str, value: str) -> None:
        secure = request.url.scheme == "https" or self._is_public_over_tls
        response.set_cookie(name, value, httponly=True, samesite="strict", secure=secure)
