"""One HTTP connection with the limits that uvicorn lacks: time and size of a request's head, and of unread responses.

An offer to upgrade the protocol is ignored, and its request is served.
"""

import asyncio
import json
import secrets
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's protocol, which closes the connections of slow clients.

    Attributes:
        head_seconds: most seconds from the connection, or a request's first byte, to the end of its headers.
        head_bytes: most bytes of request line and headers; up to one read of the socket more is buffered.
        unread_seconds: most seconds a client may leave a response unread.
    """

    head_seconds = 10.0
    head_bytes = 64 * 1024
    unread_seconds = 60.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = False
        self._head_size = 0
        self._chunk_size = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_unread_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._chunk_size = len(data)
        self._head_size += self._chunk_size
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            if not self._head_is_too_large():  # the URL parser has a limit of its own
                self._refuse(HTTPStatus.BAD_REQUEST, "The request is not valid HTTP.")
        if self._head_is_too_large() and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's headers are too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        # A pipelined request may begin within the chunk; counting all of the chunk is close enough.
        self._head_size = self._chunk_size
        if self._head_timer is None:
            self._start_head_timer()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False
        self._stop_head_timer()

    def _should_upgrade(self) -> bool:
        return True  # `_parse` handles upgrade offers

    def _parse(self, data: bytes) -> None:
        """Parse received bytes; ignore an offer of another protocol (h2c, TLS, WebSocket) as RFC 9110, 7.8 allows.

        The parser stops after the headers of such a request and treats the body as that protocol's. So a new parser
        gets the head without the offer, and continues with the body.

        Raises:
            httptools.HttpParserError: not HTTP.
        """
        unread = memoryview(data)
        while unread:
            try:
                self.parser.feed_data(unread)
            except httptools.HttpParserUpgrade as upgrade:
                unread = unread[upgrade.args[0] :]
            else:
                return
            method = self.parser.get_method()
            if method == b"CONNECT":
                raise httptools.HttpParserError("CONNECT is not supported")
            head = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode("ascii"))]
            head += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
            self.parser.feed_data(b"\r\n".join([*head, b"\r\n"]))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_unread_timer()
        self._unread_timer = self.loop.call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_unread_timer()
        super().resume_writing()

    def _head_is_too_large(self) -> bool:
        return self._in_head and self._head_size > self.head_bytes

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._on_head_timeout)

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._in_head:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request's headers did not arrive in time.")
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer a request that never reached the application, and close the connection."""
        request_id = secrets.token_hex(16)
        code = "ERROR_REQUEST_TIMEOUT" if status is HTTPStatus.REQUEST_TIMEOUT else "ERROR_INVALID_PARAMETER"
        # The path is unknown here, so the body has upstream's and Cloud Eye's form.
        body = json.dumps(
            {
                "detail": {"code": code, "message": message},
                "error_code": "ces.0011",
                "error_msg": message,
                "request_id": request_id,
            }
        )
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write((head + body).encode("ascii"))
        self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
