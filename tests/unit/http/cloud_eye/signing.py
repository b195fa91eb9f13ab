"""Requests signed by the vendor's own SDK, as sent."""

from datetime import UTC, datetime
from typing import Any

import requests
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

from event_service.http.cloud_eye.signature import SignedRequest

ACCESS_KEY_ID = "webhook-0123456789ab"
SECRET_KEY = "5e" * 32
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
HOST = "127.0.0.1:8080"


def sdk_date(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")


def signed(
    method: str = "POST",
    path: str = "/V1.0/0a1b2c3d/events",
    query: list[tuple[str, Any]] | None = None,
    body: bytes = b"[]",
    headers: dict[str, str] | None = None,
    *,
    secret_key: str = SECRET_KEY,
    access_key_id: str = ACCESS_KEY_ID,
    at: datetime = NOW,
) -> SignedRequest:
    """Sign a request with the SDK, and return it as sent.

    Args:
        path: decoded; the SDK's HTTP client percent-encodes it.
    """
    credentials = BasicCredentials(access_key_id, secret_key, "0a1b2c3d")
    request = SdkRequest(
        method=method,
        schema="http",
        host=HOST,
        resource_path=path,
        query_params=query or [],
        header_params={
            "Content-Type": "application/json",
            "User-Agent": "huaweicloud-usdk-python/3.0",
            "X-Project-Id": "0a1b2c3d",
            "X-Sdk-Date": sdk_date(at),
            **(headers or {}),
        },
        body=body,
    )
    Signer(credentials).sign(request)
    target, _, raw_query = request.uri.partition("?")
    return SignedRequest(
        method=method,
        path=as_http_client_sends(target),
        query=raw_query.encode("ascii"),
        headers=[(name.lower().encode(), value.encode("latin-1")) for name, value in request.header_params.items()],
        body=body,
    )


def as_http_client_sends(target: str) -> bytes:
    """Return the request target as `requests`, the SDK's HTTP client, sends it."""
    prepared = requests.Request("GET", f"http://{HOST}{target}").prepare()
    return prepared.path_url.encode("ascii")


def authorization_of(request: SignedRequest) -> bytes:
    return next(value for name, value in request.headers if name == b"authorization")
