"""Replies of a stream whose reader is slow or gone."""

import asyncio

import grpc
import pytest

from event_service.errors import Overloaded, Unavailable
from event_service.rpc.concurrency_limit import ConcurrencyLimit
from event_service.rpc.response_stream import ResponseStream


async def test_lost_connection_is_unavailable() -> None:
    async def write(_message: bytes) -> None:
        raise grpc.aio.InternalError("ExecuteBatchError")

    with pytest.raises(Unavailable, match="connection was lost"):
        await ResponseStream(write, ConcurrencyLimit(1, 1)).send(b"")


async def test_unread_reply_ends_the_stream() -> None:
    async def write(_message: bytes) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Overloaded, match=r"for 0\.01 s"):
        await ResponseStream(write, ConcurrencyLimit(1, 1), write_timeout=0.01).send(b"")
