"""The interceptors, each by itself and in their order."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping

import pytest

from event_service.concurrency.thread_pool import ThreadPool
from event_service.errors import DeadlineExceeded, EventServiceError, Internal, NotFound, Unauthenticated, Unavailable
from event_service.identity.principal import Principal
from event_service.rpc.concurrency_limit import ConcurrencyLimit
from event_service.rpc.context import RpcContext
from event_service.rpc.interceptors import Authentication, LogSampler, RpcLog, deadline, errors, interceptors, trace
from event_service.rpc.methods import Handler, compose
from event_service.telemetry.logging import JsonFormatter
from tests.unit.rpc.serving import NO_AUTHENTICATION, echo


def context(named: str = "request-1", **metadata: str) -> RpcContext:
    return RpcContext("/s/m", {name.replace("_", "-"): value for name, value in metadata.items()}, request_id=named)


def raising(error: BaseException) -> Handler:
    async def fail(request: bytes, context: RpcContext) -> bytes:
        raise error

    return fail


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("0b5f6f4e-1", True), ("short", False), ("x" * 65, False), ("with blank", False), ("line\nbreak", False)],
)
async def test_valid_request_id_of_caller_used(sent: str, kept: bool) -> None:
    one = context("", x_request_id=sent)
    await trace(b"", one, echo)
    assert one.request_id
    assert (one.request_id == sent) is kept


async def test_request_ids_differ() -> None:
    calls = [context("") for _ in range(100)]
    for one in calls:
        await trace(b"", one, echo)
    assert len({one.request_id for one in calls}) == 100


async def test_request_id_of_http_kept() -> None:
    one = context("given-by-http")
    await trace(b"", one, echo)
    assert one.request_id == "given-by-http"


async def test_log_records_have_request_id(caplog: pytest.LogCaptureFixture) -> None:
    log, threads = logging.getLogger("event_service.store.test"), ThreadPool(1)
    caplog.handler.setFormatter(JsonFormatter())

    async def work(request: bytes, context: RpcContext) -> bytes:
        log.warning("in the task")
        await threads.run(log.warning, "in a worker thread")
        return request

    async def ask(name: str) -> None:
        await trace(b"", context(name), work)

    log.warning("before")
    await asyncio.gather(*(asyncio.create_task(ask(name)) for name in ("one", "two")))
    threads.close()
    received = [json.loads(line) for line in caplog.text.splitlines()]
    assert sorted((line["message"], line.get("request_id", "")) for line in received) == [
        ("before", ""),
        ("in a worker thread", "one"),
        ("in a worker thread", "two"),
        ("in the task", "one"),
        ("in the task", "two"),
    ]


@pytest.mark.parametrize(
    ("sent", "trace_id"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ""),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", ""),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", ""),
        ("nonsense", ""),
    ],
)
async def test_trace_id_from_traceparent(sent: str, trace_id: str) -> None:
    one = context(traceparent=sent)
    await trace(b"", one, echo)
    assert one.trace_id == trace_id


@pytest.mark.parametrize(
    ("outcome", "code", "level"),
    [
        (None, "OK", logging.DEBUG),
        (NotFound("event_id", "x"), "NOT_FOUND", logging.INFO),
        (Internal("x"), "INTERNAL", logging.INFO),
        (asyncio.CancelledError(), "CANCELLED", logging.INFO),
    ],
)
async def test_every_call_logged_and_observed(
    caplog: pytest.LogCaptureFixture, outcome: BaseException | None, code: str, level: int
) -> None:
    seen: list[tuple[str, str, float]] = []
    log = RpcLog(lambda *context: seen.append(context))
    one = context(token="a-secret")
    with caplog.at_level(logging.DEBUG):
        if outcome is None:
            assert await log(b"abc", one, echo) == b"abc"
        else:
            with pytest.raises(type(outcome)):
                await log(b"", one, raising(outcome))
    assert [(method, seen_code) for method, seen_code, _ in seen] == [("/s/m", code)]
    assert [record.levelno for record in caplog.records] == [level]
    assert f"/s/m {code} " in caplog.text
    assert "request-1" in caplog.text
    assert "a-secret" not in caplog.text


async def test_many_refusals_logged_as_one_record(caplog: pytest.LogCaptureFixture) -> None:
    log = RpcLog()
    with caplog.at_level(logging.INFO):
        for _ in range(1000):
            with pytest.raises(Unavailable):
                await log(b"", context(), raising(Unavailable()))
    assert len(caplog.records) == 1


def test_log_sampler_one_sample_per_interval() -> None:
    sampler = LogSampler(1.0)
    assert [sampler.sample(now) for now in (10.0, 10.1, 10.9, 11.0, 11.5, 20.0)] == [1, 0, 0, 3, 0, 2]


async def test_deadline_cancels_call() -> None:
    async def sleep(request: bytes, context: RpcContext) -> bytes:
        await asyncio.sleep(10)
        return b""

    one = context()
    assert await deadline(b"a", one, echo) == b"a"
    one.deadline = time.monotonic() + 60
    assert await deadline(b"b", one, echo) == b"b"
    one.deadline = time.monotonic() + 0.01
    with pytest.raises(DeadlineExceeded):
        await deadline(b"", one, sleep)
    with pytest.raises(DeadlineExceeded):
        await deadline(b"", one, echo)


async def test_authentication_sets_principal() -> None:
    class OnlyAlice:
        def authenticate(self, metadata: Mapping[str, str]) -> Principal:
            if metadata.get("token") != "alice":
                raise Unauthenticated
            return NO_AUTHENTICATION.authenticate(metadata)

    identity = Authentication(OnlyAlice())
    one = context(token="alice")
    await identity(b"", one, echo)
    assert one.caller.domain_id == "domain-1"
    with pytest.raises(Unauthenticated):
        await identity(b"", context(), echo)


async def test_unexpected_exception_becomes_internal(caplog: pytest.LogCaptureFixture) -> None:
    assert await errors(b"a", context(), echo) == b"a"
    with pytest.raises(NotFound):
        await errors(b"", context(), raising(NotFound("event_id", "x")))
    with pytest.raises(Internal, match="request-1"):
        await errors(b"", context(), raising(ZeroDivisionError("x")))
    assert "ZeroDivisionError" in caplog.text
    with pytest.raises(asyncio.CancelledError):
        await errors(b"", context(), raising(asyncio.CancelledError()))


async def test_timeout_inside_servicer_is_internal() -> None:
    one = context()
    one.deadline = time.monotonic() + 60
    listed = interceptors(authenticator=NO_AUTHENTICATION, limit=ConcurrencyLimit(1, 1))
    with pytest.raises(EventServiceError) as caught:
        await compose(listed, raising(TimeoutError()))(b"", one)
    assert caught.value.code == "INTERNAL"


async def test_interceptor_exception_observed_as_internal() -> None:
    class Broken:
        def authenticate(self, metadata: Mapping[str, str]) -> Principal:
            raise KeyError("kid")

    seen: list[str] = []
    listed = interceptors(
        authenticator=Broken(),
        limit=ConcurrencyLimit(1, 1),
        observe=lambda method, code, seconds: seen.append(code),
    )
    with pytest.raises(Internal):
        await compose(listed, echo)(b"", context())
    assert seen == ["INTERNAL"]


async def test_interceptor_order() -> None:
    limit = ConcurrencyLimit(1, 1)
    names = [
        getattr(one, "__name__", type(one).__name__)
        for one in interceptors(authenticator=NO_AUTHENTICATION, limit=limit)
    ]
    assert names == ["trace", "RpcLog", "errors", "deadline", "ConcurrencyLimit", "Authentication"]
    names = [getattr(one, "__name__", type(one).__name__) for one in interceptors(authenticator=None, limit=limit)]
    assert names == ["trace", "RpcLog", "errors", "deadline", "ConcurrencyLimit"]
