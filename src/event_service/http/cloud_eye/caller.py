"""Who calls the Cloud Eye API, and for which of its projects.

A caller proves itself in one of three ways:

    Authorization: SDK-HMAC-SHA256 ...         what the SDKs send; the access key id is a webhook's id, and its access
                                               key the secret key
    X-Auth-Token: WEBHOOK_ID:ACCESS_KEY        the same pair in clear, for curl
    Authorization: Bearer JWT (or as           what Event.list takes; reports go to the webhook of that Cloud Eye
    X-Auth-Token)                              project which the token may write

The SDKs have no mode without a signature: where both headers are there, the token was put there on purpose and counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from starlette.requests import Request

from event_service.errors import NotFound, PermissionDenied, Unauthenticated, WebhookDisabled
from event_service.http.authentication import RequestAuthenticator
from event_service.http.cloud_eye.errors import BAD_SIGNATURE, NOT_ALLOWED, NOT_AUTHENTICATED, CloudEyeError
from event_service.http.cloud_eye.signature import (
    Authorization,
    SignatureRefused,
    SignedRequest,
    check_clock,
    parse_authorization,
    verify,
)
from event_service.identity.authorization import scope_of
from event_service.identity.principal import Principal
from event_service.model.scope import Scope
from event_service.model.webhook import Webhook, WebhookState
from event_service.webhooks.options import CLOUD_EYE

_SIGNED = b"SDK-"


class Webhooks(Protocol):
    """What is needed of `webhooks/manager.py`."""

    async def authenticate(self, webhook_id: str, access_key: str) -> Webhook: ...
    async def signing_keys(self, webhook_id: str) -> tuple[Webhook, tuple[str, ...]]: ...
    async def find_cloud_eye(self, scope: Scope, cloud_eye_project_id: str) -> Webhook | None: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who has proved who they are, but for a signature that waits for the body.

    Attributes:
        webhook: whose credentials were used; None for the bearer of a JWT.
        principal: the bearer of a JWT.
        authorization, secret_keys: the signature that is still to be checked, and by what; None where there is none.
    """

    webhook: Webhook | None = None
    principal: Principal | None = None
    authorization: Authorization | None = None
    secret_keys: tuple[str, ...] = ()

    def check_signature(self, request: Request, body: bytes) -> None:
        """Checks the signature over the whole request.

        Raises:
            CloudEyeError: 401 where it does not hold, 403 where it holds and the webhook is disabled.
        """
        if self.authorization is None:
            return
        scope = request.scope
        signed = SignedRequest(scope["method"], scope["raw_path"], scope["query_string"], scope["headers"], body)
        try:
            verify(signed, self.authorization, self.secret_keys)
        except SignatureRefused as refusal:
            raise CloudEyeError(BAD_SIGNATURE, str(refusal)) from None
        if self.webhook is not None and self.webhook.state is not WebhookState.ENABLED:
            raise CloudEyeError(NOT_ALLOWED, "the webhook is disabled")


class Callers:
    """Finds out who calls.

    Args:
        clock: the server's time, timezone-aware.
    """

    def __init__(self, webhooks: Webhooks, authenticator: RequestAuthenticator, clock: Callable[[], datetime]) -> None:
        self._webhooks = webhooks
        self._authenticator = authenticator
        self._clock = clock

    async def identify(self, request: Request) -> Caller:
        """Checks everything about the credentials that can be checked before the body has arrived.

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
        """The webhook that takes the caller's reports for a Cloud Eye project.

        Raises:
            CloudEyeError: 403, the caller may not write to it.
        """
        webhook = caller.webhook
        if webhook is None and caller.principal is not None:
            webhook = await self._webhooks.find_cloud_eye(scope_of(caller.principal, "Webhook", "write"), project_id)
            if webhook is None:
                raise CloudEyeError(NOT_ALLOWED, "no webhook of this project may be written with this token")
            if webhook.state is not WebhookState.ENABLED:
                raise CloudEyeError(NOT_ALLOWED, "the webhook is disabled")
        if webhook is None or not _belongs(webhook, project_id):
            raise CloudEyeError(NOT_ALLOWED, "these credentials are for another project")
        return webhook

    def reading_scope(self, caller: Caller, project_id: str) -> Scope:
        """What the caller may read of a Cloud Eye project's events.

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
            raise CloudEyeError(NOT_AUTHENTICATED, "X-Auth-Token does not hold") from None
        if webhook.plugin.plugin_id != CLOUD_EYE:
            raise CloudEyeError(NOT_ALLOWED, f"the webhook was not made for Cloud Eye (plugin {CLOUD_EYE})")
        return webhook

    def _by_token(self, request: Request, token: str) -> Principal:
        # HTTP proxies drop header names with underscores, gRPC metadata has them.
        metadata = {name.replace("-", "_"): value for name, value in request.headers.items()}
        try:
            return self._authenticator.authenticate(request, {**metadata, "token": token})
        except Unauthenticated as refusal:
            raise CloudEyeError(NOT_AUTHENTICATED, refusal.message) from None

    async def _by_signature(self, request: Request, value: bytes) -> Caller:
        if not value.startswith(_SIGNED):
            scheme = value.split(b" ", 1)[0][:20].decode("ascii", "replace")
            raise CloudEyeError(NOT_AUTHENTICATED, f"the authorization scheme {scheme!r} is not supported")
        try:
            authorization = parse_authorization(value)
            check_clock(request.scope["headers"], self._clock())
        except SignatureRefused as refusal:
            raise CloudEyeError(BAD_SIGNATURE, str(refusal)) from None
        try:
            webhook, secret_keys = await self._webhooks.signing_keys(authorization.access_key_id)
        except (NotFound, PermissionDenied):
            raise CloudEyeError(BAD_SIGNATURE, "Get secretKey failed: the access key id is not known") from None
        return Caller(webhook=webhook, authorization=authorization, secret_keys=secret_keys)


def scope_of_webhook(webhook: Webhook) -> Scope:
    """The slice of the database that the webhook's own events are in."""
    return Scope(webhook.domain_id, webhook.workspace_id, (webhook.project_id,))


def _belongs(webhook: Webhook, cloud_eye_project_id: str) -> bool:
    """Whether the webhook was made for this Cloud Eye project. Without the option, ids are the service's own."""
    return cloud_eye_project_id == (str(webhook.plugin.options.get("project_id", "")).strip() or webhook.project_id)
