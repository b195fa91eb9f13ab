"""One HTTP connection with limits that uvicorn leaves open: how long and how large a request's head may be, and how
long a client may leave its answer unread. What is offered beside HTTP/1.1 is declined with its request intact.
"""

import asyncio
import json
import secrets
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's protocol, which gives up on clients that hold a connection without getting on.

    Attributes:
        head_seconds: from the connection, or a request's first byte, to the end of its headers.
        head_bytes: request line and headers; up to one read of the socket more is held.
        unread_seconds: how long an answer may wait for its reader.
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
            if not self._head_is_too_large():  # the parser of URLs has a limit too
                self._refuse(HTTPStatus.BAD_REQUEST, "Invalid HTTP request received.")
        if self._head_is_too_large() and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's headers are too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        # It may begin behind the end of another one; how far does not matter.
        self._head_size = self._chunk_size
        if self._head_timer is None:
            self._start_head_timer()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False
        self._stop_head_timer()

    def _should_upgrade(self) -> bool:
        """uvicorn asks this once the headers offer another protocol: `_parse` sees to those."""
        return True

    def _parse(self, data: bytes) -> None:
        """Takes an offer of another protocol (h2c, TLS, WebSocket) for not made, as RFC 9110, 7.8 lets a server do.

        The parser stops behind the headers of such a request, takes its body for that protocol's, and cannot be told
        otherwise. So another parser gets the head without the offer, and goes on with the body.

        Raises:
            httptools.HttpParserError: not HTTP.
        """
        unread = memoryview(data)
        while unread:
            try:
                self.parser.feed_data(unread)
            except httptools.HttpParserUpgrade as offer:
                unread = unread[offer.args[0] :]
            else:
                return
            method = self.parser.get_method()
            if method == b"CONNECT":
                raise httptools.HttpParserError("a tunnel is asked for")
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
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._in_head:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request's headers did not arrive in time.")
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answers a request that never got as far as the application, and closes the connection."""
        request_id = secrets.token_hex(16)
        code = "ERROR_REQUEST_TIMEOUT" if status is HTTPStatus.REQUEST_TIMEOUT else "ERROR_INVALID_PARAMETER"
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
