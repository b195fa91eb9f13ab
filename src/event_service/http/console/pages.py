"""What all pages have in common: who is asking, the frame around the page, and how errors look."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from event_service.errors import EventServiceError, InvalidArgument, Unauthenticated
from event_service.http.body import BodyReader
from event_service.http.console.rendering import HEADERS, Renderer
from event_service.http.console.session import FORM_FIELD, Sessions
from event_service.identity.authorization import scope_of
from event_service.identity.principal import Principal
from event_service.model.scope import Scope
from event_service.webhooks.info import InfoPage

FORM_BYTES = 64 * 1024
_FIELDS = 50
_NAMED_WEBHOOKS = 200

Endpoint = Callable[[Request], Awaitable[Response]]


class WebhookNames(Protocol):
    """What is needed of `webhooks/manager.py` to call webhooks by their names."""

    async def list(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], access_key: str = ""
    ) -> InfoPage: ...


class Pages:
    """Makes answers of templates."""

    def __init__(self, renderer: Renderer, sessions: Sessions, bodies: BodyReader) -> None:
        self.sessions = sessions
        self.renderer = renderer
        self._bodies = bodies

    def guarded(self, endpoint: Endpoint, page: str = "") -> Endpoint:
        """The endpoint, with errors as pages, and the way to the sign-in for whoever is not known.

        Args:
            page: the path of the page that the answer is a part of, if it is no page itself.
        """

        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except Unauthenticated:
                there = (page or request.url.path) + (f"?{request.url.query}" if request.url.query else "")
                back = f"?next={quote(there, safe='')}" if request.method == "GET" else ""
                return _to_sign_in(request, f"/sign-in{back}")
            except EventServiceError as error:
                return self.error(request, error)

        return answer

    def page(self, request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
        """The template in its frame."""
        form_token = self.sessions.form_token(request)
        common = {
            "form_token": form_token,
            "signed_in": self.sessions.needs_token and template != "sign_in.html",
            "here": request.url.path,
        }
        answer = self.renderer.page(template, {**common, **values}, status)
        self.sessions.keep_form_token(request, answer, form_token)
        return answer

    def error(self, request: Request, error: EventServiceError) -> Response:
        """A page that says what went wrong."""
        values = {"message": error.message, "violations": error.violations, "status": error.http_status}
        return self.page(request, "error.html", values, error.http_status)

    def principal(self, request: Request) -> Principal:
        """Who is asking. Raises as `Sessions.principal`."""
        return self.sessions.principal(request)

    def event_scope(self, request: Request) -> Scope:
        """The events that whoever is asking may see."""
        return scope_of(self.principal(request))

    async def form(self, request: Request) -> dict[str, str]:
        """The fields of a form that one of our pages sent.

        Raises:
            PermissionDenied: it was sent from elsewhere.
            InvalidArgument: it is no form.
        """
        async with self._bodies.read_wire(request, FORM_BYTES) as body:
            try:
                parsed = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS)
            except ValueError:
                raise InvalidArgument.at("body", "is not a form") from None
        fields = {name: values[-1] for name, values in parsed.items()}
        self.sessions.check_form(request, fields.get(FORM_FIELD, ""))
        return fields

    async def webhook_names(self, webhooks: WebhookNames, principal: Principal) -> dict[str, str]:
        """Names of webhooks by id, {} for who may not read webhooks."""
        try:
            scope = scope_of(principal, "Webhook", "read")
            query = {"only": ["webhook_id", "name"], "page": {"limit": _NAMED_WEBHOOKS}, "sort": [{"key": "name"}]}
            page = await webhooks.list(scope, query, {})
        except EventServiceError:
            return {}
        return {row["webhook_id"]: row["name"] for row in page.rows}


def _to_sign_in(request: Request, address: str) -> Response:
    """Leads the whole page there, lest a part of it be replaced by the form for signing in."""
    if request.headers.get("hx-request") == "true":
        return Response(status_code=401, headers={**HEADERS, "HX-Redirect": address})
    if request.headers.get("accept") == "text/event-stream":
        # A stream that is refused is asked for again and again; this one has the page ask for itself.
        return Response("event: sign-in\ndata: \n\n", media_type="text/event-stream", headers=HEADERS)
    return RedirectResponse(address, 303, HEADERS)
