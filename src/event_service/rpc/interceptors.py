"""The interceptors around each method, in order: trace > log > errors > size > deadline > concurrency limit >
authentication.

They are composed with each method once, at start; together they cost a few microseconds per call.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from secrets import token_hex

from event_service.errors import DeadlineExceeded, EventServiceError, TooLarge
from event_service.identity.authenticator import Authenticator
from event_service.rpc.concurrency_limit import ConcurrencyLimit
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import Handler, Interceptor
from event_service.rpc.status import error_of
from event_service.telemetry.request import request_id

Observer = Callable[[str, str, float], None]
"""Called for every completed call: method, name of the status code, seconds."""

_log = logging.getLogger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_NO_TRACE = "0" * 32

_process = token_hex(4)
_numbers = count(1)


async def trace(request: bytes, context: RpcContext, call_next: Handler) -> bytes:
    """Assign the request id, from `x-request-id` if it is valid, and read the W3C trace id.

    The request id is also set in the task's context, for log records.
    """
    metadata = context.metadata
    given = metadata.get("x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        context.request_id = given
    elif not context.request_id:  # HTTP has assigned one already
        context.request_id = f"{_process}-{next(_numbers):x}"
    request_id.set(context.request_id)
    parent = metadata.get("traceparent")
    if parent is not None:
        match = _TRACE_PARENT.fullmatch(parent)
        if match and match[1] != _NO_TRACE and not parent.startswith("ff"):
            context.trace_id = match[1]
    return await call_next(request, context)


class RpcLog:
    """Writes one log record per call: at debug level for OK, at info level for an error.

    RESOURCE_EXHAUSTED and UNAVAILABLE are sampled, one record a second each, so that logging does not add to an
    overload.

    Args:
        observe: called for every completed call, for metrics.
    """

    def __init__(self, observe: Observer | None = None) -> None:
        self._observe = observe
        self._samplers = {"RESOURCE_EXHAUSTED": LogSampler(1.0), "UNAVAILABLE": LogSampler(1.0)}

    async def __call__(self, request: bytes, context: RpcContext, call_next: Handler) -> bytes:
        started = time.monotonic()
        code = "OK"
        try:
            return await call_next(request, context)
        except EventServiceError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            seconds = time.monotonic() - started
            if self._observe is not None:
                self._observe(context.method, code, seconds)
            if _log.isEnabledFor(logging.DEBUG if code == "OK" else logging.INFO):
                self._write(context, code, seconds, len(request))

    def _write(self, context: RpcContext, code: str, seconds: float, size: int) -> None:
        count = 1
        if code in self._samplers:
            count = self._samplers[code].sample(time.monotonic())
            if not count:
                return
        _log.log(
            logging.DEBUG if code == "OK" else logging.INFO,
            "%s %s %.1f ms (request_id = %s)%s",
            context.method,
            code,
            seconds * 1000,
            context.request_id,
            f" and {count - 1} more" if count > 1 else "",
            extra={"request_id": context.request_id, "trace_id": context.trace_id, "bytes": size},
        )


class LogSampler:
    """Counts occurrences and releases one sample per `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next_sample = float("-inf")
        self._count = 0

    def sample(self, now: float) -> int:
        """Count one occurrence at monotonic second `now`; return the count since the last sample, else 0."""
        self._count += 1
        if now < self._next_sample:
            return 0
        self._next_sample = now + self._seconds
        count, self._count = self._count, 0
        return count


async def deadline(request: bytes, context: RpcContext, call_next: Handler) -> bytes:
    """Cancel the call at the caller's deadline.

    Raises:
        DeadlineExceeded: the deadline has passed; a write may or may not have happened.
    """
    if context.deadline is None:
        return await call_next(request, context)
    remaining = context.deadline - time.monotonic()
    if remaining <= 0:
        raise DeadlineExceeded("The caller's deadline has passed.")
    try:
        async with asyncio.timeout(remaining) as limit:
            return await call_next(request, context)
    except TimeoutError:
        if not limit.expired():  # raised inside the servicer: an internal error
            raise
        raise DeadlineExceeded("The caller's deadline has passed.") from None


class RequestSize:
    """Refuses requests that are too large to be legitimate, before they are parsed."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    def __call__(self, request: bytes, context: RpcContext, call_next: Handler) -> Awaitable[bytes]:
        if len(request) > self._max_bytes:
            raise TooLarge.at("request", f"has {len(request)} bytes; {context.method} takes at most {self._max_bytes}")
        return call_next(request, context)


class Authentication:
    """Authenticates the caller by its metadata. Not applied to methods whose requests carry credentials."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticate = authenticator.authenticate

    async def __call__(self, request: bytes, context: RpcContext, call_next: Handler) -> bytes:
        context.principal = self._authenticate(context.metadata)
        if context.responses is not None:
            context.responses.revalidate_with(partial(self._authenticate, context.metadata))
        return await call_next(request, context)


async def errors(request: bytes, context: RpcContext, call_next: Handler) -> bytes:
    """Convert unexpected exceptions to Internal, with the traceback in the log only.

    Runs inside `RpcLog`, which records the code of the converted error.
    """
    try:
        return await call_next(request, context)
    except EventServiceError:
        raise
    except Exception as exception:
        raise error_of(exception, context.method, context.request_id) from None


def interceptors(
    *,
    authenticator: Authenticator | None,
    limit: ConcurrencyLimit,
    max_bytes: int | None = None,
    observe: Observer | None = None,
    span: Interceptor | None = None,
) -> list[Interceptor]:
    """Return the interceptors, outermost first.

    Args:
        authenticator: None for methods that need no token.
        max_bytes: of a request; None for methods that take payloads, which the server's limit applies to.
        span: opens the call's OpenTelemetry span; None without tracing.
    """
    spans: list[Interceptor] = [] if span is None else [span]
    authentication: list[Interceptor] = [] if authenticator is None else [Authentication(authenticator)]
    size: list[Interceptor] = [] if max_bytes is None else [RequestSize(max_bytes)]
    return [*spans, trace, RpcLog(observe), errors, *size, deadline, limit, *authentication]
