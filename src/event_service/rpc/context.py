"""The context of one call as servicers and interceptors see it, independent of the gRPC engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from event_service.errors import Unauthenticated
from event_service.identity.principal import Principal
from event_service.rpc.request_stream import RequestStream
from event_service.rpc.response_stream import ResponseStream

MAX_TRAILER_BYTES = 6 * 1024
"""Limit of all trailers of a call, in bytes as HTTP/2 counts them: clients refuse headers over 8 KB, and gRPC adds its
own."""

_ENTRY_BYTES = 32  # HTTP/2 counts this for each entry on top of its name and value (RFC 9113, 6.5.2)
_LONGEST_VALUE = 400
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


@dataclass(slots=True)
class RpcContext:
    """Everything about a call but its request.

    Attributes:
        method: `/package.Service/method`.
        metadata: the caller's text metadata, names in lower case; the last value of a repeated name.
        deadline: in seconds of `time.monotonic()`; None for no deadline.
        request_id: identifies the call in logs and errors.
        trace_id: 32 hexadecimal digits of the caller's W3C traceparent, "" without.
        principal: the authenticated caller; None only for methods that need no token.
        trailers: trailing metadata of the reply; written through `add_trailer`.
        requests: the messages of a client-streaming call, whose request is b"". None for all other calls.
        responses: the replies of a server-streaming call. None for all other calls.
    """

    method: str
    metadata: Mapping[str, str]
    deadline: float | None = None
    request_id: str = ""
    trace_id: str = ""
    principal: Principal | None = None
    trailers: list[tuple[str, str]] = field(default_factory=list)
    requests: RequestStream | None = None
    responses: ResponseStream | None = None

    @property
    def request_stream(self) -> RequestStream:
        """The requests of a client-streaming call.

        Raises:
            TypeError: the method does not stream requests.
        """
        if self.requests is None:
            raise TypeError(f"{self.method} does not stream requests")
        return self.requests

    @property
    def response_stream(self) -> ResponseStream:
        """The replies of a server-streaming call.

        Raises:
            TypeError: the method does not stream replies.
        """
        if self.responses is None:
            raise TypeError(f"{self.method} does not stream replies")
        return self.responses

    @property
    def caller(self) -> Principal:
        """The authenticated caller.

        Raises:
            Unauthenticated: no token was verified for this call.
        """
        if self.principal is None:
            raise Unauthenticated
        return self.principal

    def add_trailer(self, name: str, value: str) -> bool:
        """Add a trailer. Percent-encode all but printable ASCII as UTF-8, and cut a value over 400 characters.

        Returns:
            False if it exceeds `MAX_TRAILER_BYTES` and is left out.
        """
        if "%" in value or not (value.isascii() and value.isprintable()):
            value = quote(value, safe=_PRINTABLE, errors="replace")
        if len(value) > _LONGEST_VALUE:
            value = value[: _LONGEST_VALUE - 3] + "..."
        used = sum(len(name) + len(value) + _ENTRY_BYTES for name, value in self.trailers)
        if used + len(name) + len(value) + _ENTRY_BYTES > MAX_TRAILER_BYTES:
            return False
        self.trailers.append((name, value))
        return True

    def add_trailers(self, name: str, values: Sequence[str], limit: int) -> None:
        """Add a trailer for each value, at most `limit`; `NAME-more` gives the number of those left out."""
        for position, value in enumerate(values):
            if position == limit or not self.add_trailer(name, value):
                self.trailers.append((f"{name}-more", str(len(values) - position)))
                return
