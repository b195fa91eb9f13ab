"""One call as the servicers see it, whatever engine carries it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote

from event_service.errors import Unauthenticated
from event_service.identity.principal import Principal

MAX_TRAILER_BYTES = 6 * 1024
"""All trailers of a call together, counted as HTTP/2 does: a client gives up on headers over 8 KB, some of which are
gRPC's own."""

_ENTRY_BYTES = 32  # what HTTP/2 counts for each entry on top of its name and value (RFC 9113, 6.5.2)
_LONGEST_VALUE = 400
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


class RequestStream(Protocol):
    """What a servicer sees of `requests.py`."""

    async def take(self) -> list[bytes]:
        """What has been sent since the last time, at least one message; [] once the sender has ended."""
        ...


class ResponseStream(Protocol):
    """What a servicer sees of `responses.py`."""

    def require(self, still_allowed: Callable[[], object]) -> None:
        """Has this asked before each reply."""
        ...

    async def send(self, message: bytes) -> None:
        """Sends one reply, once the caller has room for it."""
        ...

    def check(self) -> None:
        """Raises what `send` would, where there is nothing to send."""
        ...


@dataclass(slots=True)
class RpcContext:
    """What is known about a call beside its request.

    Attributes:
        method: `/package.Service/method`.
        metadata: the caller's text metadata, names in lower case; of equal names the last.
        deadline: `time.monotonic()` seconds after which nobody waits for the reply; None = whenever.
        request_id: names the call in logs and in errors of ours.
        trace_id: 32 hexadecimal digits of the caller's W3C traceparent, "" without.
        principal: who calls; None only for methods that need no token.
        trailers: what goes back beside the reply; written through `add_trailer`.
        requests: what a client-streaming call sends; the request itself is then b"". None for all other calls.
        responses: where the replies of a server-streaming call go. None for all other calls.
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
    def messages(self) -> RequestStream:
        """The requests of a client-streaming call."""
        if self.requests is None:
            raise TypeError(f"{self.method} does not stream")
        return self.requests

    @property
    def replies(self) -> ResponseStream:
        """The responses of a server-streaming call."""
        if self.responses is None:
            raise TypeError(f"{self.method} does not stream its replies")
        return self.responses

    @property
    def caller(self) -> Principal:
        """Who calls.

        Raises:
            Unauthenticated: nobody has been asked for a token.
        """
        if self.principal is None:
            raise Unauthenticated
        return self.principal

    def add_trailer(self, name: str, value: str) -> bool:
        """Adds a trailer. Anything but printable ASCII is percent-encoded as UTF-8; a long value is cut.

        Returns:
            False where there is no room left for it.
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
        """Adds a trailer for each value, at most `limit`; where some are left out, `NAME-more` says how many."""
        for position, value in enumerate(values):
            if position == limit or not self.add_trailer(name, value):
                self.trailers.append((f"{name}-more", str(len(values) - position)))
                return
