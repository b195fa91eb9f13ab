"""A client that signs as the vendor's SDK does."""

from typing import Any, Self

import httpx

from tests.unit.http.cloud_eye.signing import signed
from tests.unit.http.fakes import ACCESS_KEY, PROJECT, WEBHOOK_ID, HttpService


class SignedClient:
    """A client of an in-memory service."""

    def __init__(self, service: HttpService, *, secret_key: str = ACCESS_KEY, access_key_id: str = WEBHOOK_ID) -> None:
        self._service = service
        self._client = service.client()
        self._secret_key = secret_key
        self._access_key_id = access_key_id

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def post(self, body: bytes, project_id: str = PROJECT, **changes: Any) -> httpx.Response:
        return await self.send("POST", f"/V1.0/{project_id}/events", body=body, **changes)

    async def get(self, path: str, query: list[tuple[str, Any]] | None = None) -> httpx.Response:
        return await self.send("GET", path, query=query, body=b"")

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, Any]] | None = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        sent_body: bytes | None = None,
    ) -> httpx.Response:
        """Sign a request and send it, with `sent_body` instead of `body` if given."""
        request = signed(
            method,
            path,
            query,
            body,
            headers,
            secret_key=self._secret_key,
            access_key_id=self._access_key_id,
            at=self._service.now,
        )
        target = request.path + (b"?" + request.query if request.query else b"")
        return await self._client.request(
            method,
            httpx.URL("http://127.0.0.1:8080").copy_with(raw_path=target),
            headers=request.headers,
            content=body if sent_body is None else sent_body,
        )
