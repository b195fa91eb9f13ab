"""Authentication of Cloud Eye callers, and the Cloud Eye project they may use.

Three forms of credentials:

    Authorization: SDK-HMAC-SHA256 ...         what the SDKs send; the access key id is a webhook's id, and its access
                                               key the secret key
    X-Auth-Token: WEBHOOK_ID:ACCESS_KEY        the same pair in clear, for curl
    Authorization: Bearer JWT (or as           what Event.list takes; reports go to the webhook of that Cloud Eye
    X-Auth-Token)                              project which the token may write

The SDKs always sign: if both headers are present, the token was added on purpose and takes precedence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request

from event_service.errors import NotFound, PermissionDenied, Unauthenticated, WebhookDisabled
from event_service.http.authentication import RequestAuthenticator
from event_service.http.cloud_eye.errors import BAD_SIGNATURE, NOT_ALLOWED, NOT_AUTHENTICATED, CloudEyeError
from event_service.http.cloud_eye.signature import (
    Authorization,
    InvalidSignature,
    SignedRequest,
    check_clock,
    parse_authorization,
    verify,
)
from event_service.identity.authorization import scope_of
from event_service.identity.principal import Principal
from event_service.model.scope import Scope
from event_service.model.webhook import Webhook, WebhookState
from event_service.webhooks.manager import WebhookManager
from event_service.webhooks.options import CLOUD_EYE

_SIGNED = b"SDK-"


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller, except for a signature, which needs the body.

    Attributes:
        webhook: the webhook whose credentials were used; None for a JWT.
        principal: the bearer of a JWT.
        authorization: the signature still to be verified; None if there is none.
        secret_keys: the keys that may have made it.
    """

    webhook: Webhook | None = None
    principal: Principal | None = None
    authorization: Authorization | None = None
    secret_keys: tuple[str, ...] = ()

    def check_signature(self, request: Request, body: bytes) -> None:
        """Verify the signature over the whole request, if there is one.

        Raises:
            CloudEyeError: 401 if it is invalid, 403 if it is valid and the webhook is disabled.
        """
        if self.authorization is None:
            return
        scope = request.scope
        signed = SignedRequest(scope["method"], scope["raw_path"], scope["query_string"], scope["headers"], body)
        try:
            verify(signed, self.authorization, self.secret_keys)
        except InvalidSignature as error:
            raise CloudEyeError(BAD_SIGNATURE, str(error)) from None
        if self.webhook is not None and self.webhook.state is not WebhookState.ENABLED:
            raise CloudEyeError(NOT_ALLOWED, "the webhook is disabled")


class Callers:
    """The authentication of Cloud Eye requests.

    Args:
        clock: the server's time, timezone-aware.
    """

    def __init__(
        self, webhooks: WebhookManager, authenticator: RequestAuthenticator, clock: Callable[[], datetime]
    ) -> None:
        self._webhooks = webhooks
        self._authenticator = authenticator
        self._clock = clock

    async def identify(self, request: Request) -> Caller:
        """Return the caller; verify everything that does not need the body.

        Raises:
            CloudEyeError: 401 or 403.
            PermissionDenied: as `RequestAuthenticator.authenticate`.
        """
        token = request.headers.get("x-auth-token", "").strip()
        authorization = request.headers.get("authorization", "").strip().encode("latin-1")
        if token:
            webhook_id, separator, access_key = token.partition(":")
            if separator:
                return Caller(webhook=await self._by_access_key(webhook_id, access_key))
            return Caller(principal=self._by_token(request, token))
        if authorization[:7].lower() == b"bearer ":
            return Caller(principal=self._by_token(request, authorization[7:].decode("latin-1").strip()))
        if not authorization:
            raise CloudEyeError(NOT_AUTHENTICATED)
        return await self._by_signature(request, authorization)

    async def reporting_webhook(self, caller: Caller, project_id: str) -> Webhook:
        """Return the webhook that receives the caller's reports for a Cloud Eye project.

        Raises:
            CloudEyeError: 403, the caller has no write permission.
        """
        webhook = caller.webhook
        if webhook is None and caller.principal is not None:
            webhook = await self._webhooks.find_cloud_eye(scope_of(caller.principal, "Webhook", "write"), project_id)
            if webhook is None:
                raise CloudEyeError(NOT_ALLOWED, "the token has no write permission for a webhook of this project")
            if webhook.state is not WebhookState.ENABLED:
                raise CloudEyeError(NOT_ALLOWED, "the webhook is disabled")
        if webhook is None or not _belongs(webhook, project_id):
            raise CloudEyeError(NOT_ALLOWED, "these credentials are for another project")
        return webhook

    def reading_scope(self, caller: Caller, project_id: str) -> Scope:
        """Return the scope in which the caller may read a Cloud Eye project's events.

        Raises:
            CloudEyeError: 403, the credentials are for another project.
            PermissionDenied: the token does not allow reading.
        """
        if caller.webhook is not None:
            if not _belongs(caller.webhook, project_id):
                raise CloudEyeError(NOT_ALLOWED, "these credentials are for another project")
            return scope_of_webhook(caller.webhook)
        if caller.principal is None:
            raise CloudEyeError(NOT_AUTHENTICATED)
        return scope_of(caller.principal, "Event", "read")

    async def _by_access_key(self, webhook_id: str, access_key: str) -> Webhook:
        try:
            webhook = await self._webhooks.authenticate(webhook_id, access_key)
        except WebhookDisabled:
            raise CloudEyeError(NOT_ALLOWED, "the webhook is disabled") from None
        except (NotFound, PermissionDenied):
            # One answer for both, so that callers cannot probe for webhook ids.
            raise CloudEyeError(NOT_AUTHENTICATED, "X-Auth-Token is invalid") from None
        if webhook.plugin.plugin_id != CLOUD_EYE:
            raise CloudEyeError(NOT_ALLOWED, f"the webhook's plugin must be {CLOUD_EYE}")
        return webhook

    def _by_token(self, request: Request, token: str) -> Principal:
        # gRPC metadata uses underscores; HTTP proxies drop header names that contain them.
        metadata = {name.replace("-", "_"): value for name, value in request.headers.items()}
        try:
            return self._authenticator.authenticate(request, {**metadata, "token": token})
        except Unauthenticated as error:
            raise CloudEyeError(NOT_AUTHENTICATED, error.message) from None

    async def _by_signature(self, request: Request, value: bytes) -> Caller:
        if not value.startswith(_SIGNED):
            scheme = value.split(b" ", 1)[0][:20].decode("ascii", "replace")
            raise CloudEyeError(NOT_AUTHENTICATED, f"the authorization scheme {scheme!r} is not supported")
        try:
            authorization = parse_authorization(value)
            check_clock(request.scope["headers"], self._clock())
        except InvalidSignature as error:
            raise CloudEyeError(BAD_SIGNATURE, str(error)) from None
        try:
            webhook, secret_keys = await self._webhooks.signing_keys(authorization.access_key_id)
        except (NotFound, PermissionDenied):
            raise CloudEyeError(BAD_SIGNATURE, "Get secretKey failed: the access key id is unknown") from None
        return Caller(webhook=webhook, authorization=authorization, secret_keys=secret_keys)


def scope_of_webhook(webhook: Webhook) -> Scope:
    """Return the scope of the webhook's own events."""
    return Scope(webhook.domain_id, webhook.workspace_id, (webhook.project_id,))


def _belongs(webhook: Webhook, cloud_eye_project_id: str) -> bool:
    # Without the option, senders use the webhook's own project id.
    return cloud_eye_project_id == (str(webhook.plugin.options.get("project_id", "")).strip() or webhook.project_id)
