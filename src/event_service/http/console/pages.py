"""The common part of all pages: caller, frame, forms and error pages."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from event_service.errors import EventServiceError, InvalidArgument, Unauthenticated
from event_service.http.body import BodyReader
from event_service.http.console.filter_form import Form, parse_filter_form
from event_service.http.console.rendering import HEADERS, Renderer
from event_service.http.console.session import FORM_FIELD, Sessions
from event_service.identity.authorization import scope_of
from event_service.identity.principal import Principal
from event_service.model.scope import Scope
from event_service.webhooks.manager import WebhookManager

FORM_BYTES = 64 * 1024
_FIELDS = 100
_NAMED_WEBHOOKS = 200

Endpoint = Callable[[Request], Awaitable[Response]]


class Pages:
    """Responses made of templates."""

    def __init__(self, renderer: Renderer, sessions: Sessions, bodies: BodyReader) -> None:
        self.sessions = sessions
        self.renderer = renderer
        self._bodies = bodies

    def guarded(self, endpoint: Endpoint, page: str = "") -> Endpoint:
        """Wrap an endpoint: errors become pages, and an unauthenticated caller is redirected to sign in.

        Args:
            page: path of the page that the response is a part of, if it is not a page itself.
        """

        async def guarded_endpoint(request: Request) -> Response:
            try:
                return await endpoint(request)
            except Unauthenticated:
                url = (page or request.url.path) + (f"?{request.url.query}" if request.url.query else "")
                back = f"?next={quote(url, safe='')}" if request.method == "GET" else ""
                return _to_sign_in(request, f"/sign-in{back}")
            except EventServiceError as error:
                return self.error(request, error)

        return guarded_endpoint

    def page(self, request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
        """Return a page made of a template."""
        form_token = self.sessions.form_token(request)
        common = {
            "form_token": form_token,
            "signed_in": self.sessions.needs_token and template != "sign_in.html",
            "here": f"/{request.url.path.split('/')[1]}",
        }
        response = self.renderer.page(template, {**common, **values}, status)
        self.sessions.keep_form_token(request, response, form_token)
        return response

    def error(self, request: Request, error: EventServiceError) -> Response:
        """Return a page that explains an error."""
        values = {"message": error.message, "violations": error.violations, "status": error.http_status}
        return self.page(request, "error.html", values, error.http_status)

    def principal(self, request: Request) -> Principal:
        """Return the caller. Raise as `Sessions.principal`."""
        return self.sessions.principal(request)

    def event_scope(self, request: Request) -> Scope:
        """Return the scope of the events that the caller may read."""
        return scope_of(self.principal(request))

    async def form(self, request: Request) -> dict[str, str]:
        """Return the fields of a form, of repeated ones the last value. Raise as `form_lists`."""
        return {name: values[-1] for name, values in (await self.form_lists(request)).items()}

    async def form_lists(self, request: Request) -> dict[str, list[str]]:
        """Return the fields of a form that one of the console's pages sent.

        Raises:
            PermissionDenied: another site sent it.
            InvalidArgument: the body is not a form.
        """
        async with self._bodies.read_wire(request, FORM_BYTES) as body:
            try:
                parsed = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS)
            except ValueError:
                raise InvalidArgument.at("body", "is not a form") from None
        self.sessions.check_form(request, parsed.get(FORM_FIELD, [""])[-1])
        return parsed

    async def webhook_names(self, webhooks: WebhookManager, principal: Principal) -> dict[str, str]:
        """Return the names of webhooks by id; {} if the caller may not read webhooks."""
        try:
            scope = scope_of(principal, "Webhook", "read")
            query = {"only": ["webhook_id", "name"], "page": {"limit": _NAMED_WEBHOOKS}, "sort": [{"key": "name"}]}
            page = await webhooks.list(scope, query, {})
        except EventServiceError:
            return {}
        return {row["webhook_id"]: row["name"] for row in page.rows}


def read_filter_form(request: Request, form: type[Form]) -> Form:
    """Return the filter form in the URL, an empty one if that has too many fields."""
    try:
        return parse_filter_form(form, parse_qs(request.url.query, max_num_fields=100))
    except ValueError:
        return form()


def set_htmx_url(request: Request, response: Response, url: str) -> None:
    """Make htmx show the URL of the new content: without empty fields, and once in the history."""
    if request.headers.get("hx-request") != "true":
        return
    shown = urlsplit(request.headers.get("hx-current-url", ""))
    is_shown = url == shown._replace(scheme="", netloc="", fragment="").geturl()
    response.headers["HX-Replace-Url" if is_shown else "HX-Push-Url"] = url


def _to_sign_in(request: Request, url: str) -> Response:
    """Redirect the whole page, also if htmx asked for a part of it."""
    if request.headers.get("hx-request") == "true":
        return Response(status_code=401, headers={**HEADERS, "HX-Redirect": url})
    if request.headers.get("accept") == "text/event-stream":
        # A browser would retry a refused stream endlessly; this event makes the page reload itself.
        return Response("event: sign-in\ndata: \n\n", media_type="text/event-stream", headers=HEADERS)
    return RedirectResponse(url, 303, HEADERS)
