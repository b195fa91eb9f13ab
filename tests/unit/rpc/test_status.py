"""Errors in the shape upstream's clients split, with google.rpc details that always arrive."""

import json
import logging
import time
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from event_service import errors
from event_service.errors import (
    DeadlineExceeded,
    EventServiceError,
    FieldViolation,
    Internal,
    InvalidArgument,
    Overloaded,
    QueryTimeout,
    RequiredParameter,
    Unavailable,
)
from event_service.rpc.context import RpcContext
from event_service.rpc.status import MAX_DETAILS_BYTES, MAX_TEXT_BYTES, Failure, cut, error_of, failure_of
from tests.unit.rpc.serving import Methods, connected, failure, serving


def details_of(trailers: Sequence[tuple[str, Any]]) -> tuple[status_pb2.Status, dict[str, Any]]:
    status = status_pb2.Status.FromString(dict(trailers)["grpc-status-details-bin"])
    found: dict[str, Any] = {}
    for packed in status.details:
        name = packed.type_url.rpartition(".")[2]
        message = getattr(error_details_pb2, name)()
        assert packed.Unpack(message)
        found[name] = message
    return status, found


def test_invalid_argument_names_field() -> None:
    answered = failure_of(RequiredParameter("webhook_id"), "request-1")
    assert answered.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answered.details == "ERROR_REQUIRED_PARAMETER: Required parameter. (key = webhook_id)"
    status, details = details_of(answered.trailers)
    assert (status.code, status.message) == (3, answered.details)
    assert details["ErrorInfo"].reason == "ERROR_REQUIRED_PARAMETER"
    assert details["ErrorInfo"].domain == "event-service"
    assert [violation.field for violation in details["BadRequest"].field_violations] == ["webhook_id"]
    assert details["RequestInfo"].request_id == "request-1"
    assert "RetryInfo" not in details


def test_retryable_error_has_retry_info() -> None:
    answered = failure_of(Overloaded("Too many.", retry_after=0.25))
    assert answered.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details_of(answered.trailers)[1]["RetryInfo"].retry_delay.ToMilliseconds() == 250


@pytest.mark.parametrize(
    ("error", "pushback"),
    [
        (Overloaded("Too many.", retry_after=0.25), "250"),
        (Unavailable(retry_after=2.0), "2000"),
        (QueryTimeout("Too slow."), "-1"),
        (RequiredParameter("webhook_id"), "-1"),
        (Internal("A bug."), None),
        (DeadlineExceeded("Too late."), None),
    ],
)
def test_pushback_has_the_delay_or_forbids_retries(error: EventServiceError, pushback: str | None) -> None:
    assert dict(failure_of(error).trailers).get("grpc-retry-pushback-ms") == pushback


@pytest.mark.parametrize(
    ("retry_after", "calls", "code"), [(0.3, 2, grpc.StatusCode.OK), (None, 1, grpc.StatusCode.RESOURCE_EXHAUSTED)]
)
async def test_retry_policy_obeys_pushback(retry_after: float | None, calls: int, code: grpc.StatusCode) -> None:
    """The policy alone would send five times within milliseconds, and give up."""
    received: list[float] = []

    async def busy_at_first(request: bytes, context: RpcContext) -> bytes:
        received.append(time.monotonic())
        if received[-1] < received[0] + 0.2:
            raise Overloaded("busy", retry_after=retry_after)
        return b""

    policy = {
        "maxAttempts": 5,
        "initialBackoff": "0.001s",
        "maxBackoff": "0.001s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["RESOURCE_EXHAUSTED"],
    }
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": policy}]})
    async with (
        serving(Methods(get=busy_at_first)) as server,
        connected(server, options=[("grpc.service_config", config)]) as ask,
    ):
        assert await ask("get").code() is code
    assert len(received) == calls


def test_every_error_has_grpc_code() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EventServiceError)]
    assert len(kinds) > 10
    assert all(kind.code in grpc.StatusCode.__members__ for kind in kinds)


def test_unexpected_exception_logged_not_returned(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        error = error_of(KeyError("secret"), "/s/m", "request-1")
    assert (error.code, error.message) == ("INTERNAL", "The service failed to answer. (request_id = request-1)")
    assert "secret" not in str(failure_of(error))
    assert "KeyError: 'secret'" in caplog.text
    assert "request-1" in caplog.text
    known = RequiredParameter("x")
    assert error_of(known, "/s/m", "") is known


@given(st.text(), st.integers(10, 60))
def test_text_cut_to_encoded_size(text: str, size: int) -> None:
    short = cut(text, size)
    sent = sum(1 if character.isascii() and character.isalnum() else 3 for character in short if character.isascii())
    sent += sum(3 * len(character.encode()) for character in short if not character.isascii())
    assert len(short.encode()) <= size
    assert sent <= size * 3
    if cut(text, 10_000) == text and len(text) * 12 <= size:
        assert short == text


violations = st.lists(
    st.builds(FieldViolation, st.text(max_size=40) | st.just("k" * 5000), st.text(max_size=600)), max_size=300
)


def within_bounds(answered: Failure) -> bool:
    raw = dict(answered.trailers)["grpc-status-details-bin"]
    return len(raw) <= MAX_DETAILS_BYTES + 100 and len(answered.details.encode()) <= MAX_TEXT_BYTES


@given(st.text(max_size=3000), violations)
def test_details_within_limit(message: str, faults: list[FieldViolation]) -> None:
    answered = failure_of(InvalidArgument(message, violations=faults), "request-1")
    assert within_bounds(answered)
    shown = details_of(answered.trailers)[1]["BadRequest"].field_violations if faults else []
    if shown and shown[-1].field == "" and shown[-1].description.startswith("and "):
        assert len(shown) - 1 + int(shown[-1].description.split()[1]) == len(faults)
    else:
        assert len(shown) == len(faults)


@pytest.mark.parametrize("character", ["x", "\x00", "%", "키", "\U0001f600", "\ud800"])
async def test_largest_error_reaches_client(character: str) -> None:
    async def refuse(request: bytes, context: RpcContext) -> bytes:
        for _ in range(200):
            context.add_trailer("event-error", character * 500)
        faults = [FieldViolation(f"data.{character * 50}[{number}]", character * 200) for number in range(1000)]
        raise InvalidArgument(character * 5000, violations=faults)

    async with serving(Methods(get=refuse)) as server, connected(server) as ask:
        for _ in range(3):  # compressed headers differ from the second on
            error = await failure(ask("get"))
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert error.details().startswith("ERROR_INVALID_PARAMETER: ")
            status, details = details_of(list(error.trailing_metadata()))
            assert status.message == error.details()
            assert details["BadRequest"].field_violations[-1].description.endswith(" more")


async def test_rich_status_readable_by_grpcio_status() -> None:
    async def refuse(request: bytes, context: RpcContext) -> bytes:
        raise RequiredParameter("event_id")

    async with serving(Methods(get=refuse)) as server, connected(server) as ask:
        call = ask("get")
        await failure(call)
        status = await rpc_status.aio.from_call(call)
        assert status is not None
        assert status.code == 3
        assert len(status.details) == 3
