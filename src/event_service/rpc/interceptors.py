"""What every call passes on its way to a servicer, as one ordered list: trace > log > errors > deadline > admission >
identity. The list is composed with each method once, at start; all of it costs a few microseconds a call."""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from secrets import token_hex

from event_service.errors import DeadlineExceeded, EventServiceError
from event_service.identity.authenticator import Authenticator
from event_service.rpc.concurrency_limit import Admission
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import Handler, Interceptor
from event_service.rpc.status import error_of
from event_service.telemetry.request import request_id

Observer = Callable[[str, str, float], None]
"""Told of every call that ends: method, name of the status code, seconds."""

_log = logging.getLogger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_NO_TRACE = "0" * 32

_process = token_hex(4)
_numbers = count(1)


async def trace(request: bytes, call: RpcContext, proceed: Handler) -> bytes:
    """Gives the call its id, the caller's own if it sent a fit `x-request-id`, and takes its W3C trace id.

    The id is in the task's context too, for whatever is logged on the way.
    """
    metadata = call.metadata
    named = metadata.get("x-request-id")
    if named is not None and _REQUEST_ID.fullmatch(named):
        call.request_id = named
    elif not call.request_id:  # the HTTP door has given one already
        call.request_id = f"{_process}-{next(_numbers):x}"
    request_id.set(call.request_id)
    parent = metadata.get("traceparent")
    if parent is not None:
        match = _TRACE_PARENT.fullmatch(parent)
        if match and match[1] != _NO_TRACE and not parent.startswith("ff"):
            call.trace_id = match[1]
    return await proceed(request, call)


class Log:
    """One line for each call: debug when it went well, info when it was refused.

    What fails in numbers, when the service or its database is overwhelmed, must not be made worse by its log: of those
    codes there is one line a second, which says how many it stands for.

    Args:
        observe: told of every call, for metrics.
    """

    def __init__(self, observe: Observer | None = None) -> None:
        self._observe = observe
        self._seldom = {"RESOURCE_EXHAUSTED": LogSampler(1.0), "UNAVAILABLE": LogSampler(1.0)}

    async def __call__(self, request: bytes, call: RpcContext, proceed: Handler) -> bytes:
        started = time.monotonic()
        code = "OK"
        try:
            return await proceed(request, call)
        except EventServiceError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            seconds = time.monotonic() - started
            if self._observe is not None:
                self._observe(call.method, code, seconds)
            if _log.isEnabledFor(logging.DEBUG if code == "OK" else logging.INFO):
                self._write(call, code, seconds, len(request))

    def _write(self, call: RpcContext, code: str, seconds: float, size: int) -> None:
        alike = 1
        if code in self._seldom:
            alike = self._seldom[code].count(time.monotonic())
            if not alike:
                return
        _log.log(
            logging.DEBUG if code == "OK" else logging.INFO,
            "%s %s %.1f ms (request_id = %s)%s",
            call.method,
            code,
            seconds * 1000,
            call.request_id,
            f" and {alike - 1} more" if alike > 1 else "",
            extra={"request_id": call.request_id, "trace_id": call.trace_id, "bytes": size},
        )


class LogSampler:
    """Counts what happens, and tells the number at most once in `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._not_before = float("-inf")
        self._counted = 0

    def count(self, now: float) -> int:
        """One more at monotonic second `now`. The number since the last telling, 0 while it is too early to tell."""
        self._counted += 1
        if now < self._not_before:
            return 0
        self._not_before = now + self._seconds
        counted, self._counted = self._counted, 0
        return counted


async def deadline(request: bytes, call: RpcContext, proceed: Handler) -> bytes:
    """Stops working on what nobody waits for any more.

    Raises:
        DeadlineExceeded: the caller's own time is up. Nothing is promised about what the call was to do.
    """
    if call.deadline is None:
        return await proceed(request, call)
    remaining = call.deadline - time.monotonic()
    if remaining <= 0:
        raise DeadlineExceeded("The caller's deadline has passed.")
    try:
        async with asyncio.timeout(remaining) as limit:
            return await proceed(request, call)
    except TimeoutError:
        if not limit.expired():  # somebody else's, a fault of ours
            raise
        raise DeadlineExceeded("The caller's deadline has passed.") from None


class Identity:
    """Says who calls. Left out for methods whose requests carry credentials of their own."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticate = authenticator.authenticate

    async def __call__(self, request: bytes, call: RpcContext, proceed: Handler) -> bytes:
        call.principal = self._authenticate(call.metadata)
        if call.responses is not None:
            call.responses.require(partial(self._authenticate, call.metadata))
        return await proceed(request, call)


async def errors(request: bytes, call: RpcContext, proceed: Handler) -> bytes:
    """Turns whatever is raised beside EventServiceErrors into Internal, with the traceback in the log only.

    Behind the log, which tells calls by the code of their error.
    """
    try:
        return await proceed(request, call)
    except EventServiceError:
        raise
    except Exception as exception:
        raise error_of(exception, call.method, call.request_id) from None


def interceptors(
    *,
    authenticator: Authenticator | None,
    admission: Admission,
    observe: Observer | None = None,
    span: Interceptor | None = None,
) -> list[Interceptor]:
    """The list, outermost first.

    Args:
        authenticator: None for methods that need no token.
        span: makes the call's OpenTelemetry span; None where nothing is traced.
    """
    spans: list[Interceptor] = [] if span is None else [span]
    identity: list[Interceptor] = [] if authenticator is None else [Identity(authenticator)]
    return [*spans, trace, Log(observe), errors, deadline, admission, *identity]
