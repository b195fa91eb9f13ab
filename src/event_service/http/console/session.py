"""Who uses the console, and that a form was sent from one of its own pages.

The token somebody signs in with is kept by the browser, in a cookie no script can read; nothing is kept here, so that
any replica knows everybody. Forms carry a second, random cookie's value in a field: another site can make a browser
send a form, but it can neither read nor set that cookie.
"""

import secrets
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from event_service.errors import PermissionDenied
from event_service.http.authentication import RequestAuthenticator
from event_service.identity.principal import Principal
from event_service.settings import Settings

TOKEN_COOKIE = "event_service_token"  # noqa: S105 - the name of a cookie
DOMAIN_COOKIE = "event_service_domain"
WORKSPACE_COOKIE = "event_service_workspace"
FORM_COOKIE = "event_service_form"
FORM_FIELD = "form_token"


class Sessions:
    """Knows the users of the console by their cookies."""

    def __init__(self, settings: Settings, authenticator: RequestAuthenticator) -> None:
        self.needs_token = settings.auth != "none"
        self._authenticator = authenticator
        self._is_public_over_tls = urlsplit(settings.public_url).scheme == "https"

    def principal(self, request: Request) -> Principal:
        """Who sends the request.

        Raises:
            Unauthenticated: nobody has signed in, or the token has ended.
            PermissionDenied: no sign-in is asked for, and a page from elsewhere may have sent the request.
        """
        cookies = request.cookies
        return self.check(
            request, cookies.get(TOKEN_COOKIE, ""), cookies.get(DOMAIN_COOKIE, ""), cookies.get(WORKSPACE_COOKIE, "")
        )

    def check(self, request: Request, token: str, domain_id: str, workspace_id: str) -> Principal:
        """Who bears a token, acting for a domain and workspace if it is the system's.

        Raises:
            Unauthenticated, PermissionDenied: as `principal`.
        """
        return self._authenticator.authenticate(
            request, {"token": token, "x_domain_id": domain_id, "x_workspace_id": workspace_id}
        )

    def sign_in(self, request: Request, answer: Response, token: str, domain_id: str, workspace_id: str) -> None:
        """Has the browser keep the token until it is closed."""
        self._keep(request, answer, TOKEN_COOKIE, token)
        self._keep(request, answer, DOMAIN_COOKIE, domain_id)
        self._keep(request, answer, WORKSPACE_COOKIE, workspace_id)

    def sign_out(self, answer: Response) -> None:
        """Has the browser forget it."""
        for name in (TOKEN_COOKIE, DOMAIN_COOKIE, WORKSPACE_COOKIE, FORM_COOKIE):
            answer.delete_cookie(name, httponly=True, samesite="strict")

    def form_token(self, request: Request) -> str:
        """What the forms of the answer carry."""
        known = request.cookies.get(FORM_COOKIE, "")
        return known if len(known) == 43 and known.isascii() else secrets.token_urlsafe(32)

    def keep_form_token(self, request: Request, answer: Response, form_token: str) -> None:
        """Has the browser keep it, if it does not yet."""
        if request.cookies.get(FORM_COOKIE) != form_token:
            self._keep(request, answer, FORM_COOKIE, form_token)

    def check_form(self, request: Request, form_token: str) -> None:
        """
        Raises:
            PermissionDenied: the form was not sent from one of our pages.
        """
        known = request.cookies.get(FORM_COOKIE, "")
        from_elsewhere = request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        if from_elsewhere or not known or not secrets.compare_digest(known.encode(), form_token.encode()):
            raise PermissionDenied

    def _keep(self, request: Request, answer: Response, name: str, value: str) -> None:
        secure = request.url.scheme == "https" or self._is_public_over_tls
        answer.set_cookie(name, value, httponly=True, samesite="strict", secure=secure)
