"""The fetcher, against a local server."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from event_service.errors import Unavailable
from event_service.http.fetcher import Fetcher
from tests.e2e.service import free_port


@asynccontextmanager
async def answering(*parts: bytes, pause: float = 0.0) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serve these parts in order; yield the URL and the first lines of the requests."""
    asked: list[bytes] = []
    serving: set[asyncio.Task[object]] = set()
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        asked.append(await reader.readline())
        with suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), pause)
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"http://127.0.0.1:{port}", asked
        over.set()
        await asyncio.gather(*serving)


async def test_body_is_returned() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") as (url, asked):
        assert await Fetcher()(f"{url}/a.pem?b=c") == b"hello"
        assert asked == [b"GET /a.pem?b=c HTTP/1.1\r\n"]


async def test_redirects_are_not_followed() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (elsewhere, asked):
        for status in (301, 302, 303, 307, 308):
            head = f"HTTP/1.1 {status} Found\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\n\r\n".encode()
            async with answering(head) as (url, _):
                with pytest.raises(Unavailable, match=f"answered {status}"):
                    await Fetcher()(url)
        assert asked == []


async def test_http_error_raises_unavailable() -> None:
    async with answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello") as (url, _):
        with pytest.raises(Unavailable, match="answered 404"):
            await Fetcher()(url)


async def test_too_large_response_raises_unavailable() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 200_000) as (url, _):
        with pytest.raises(Unavailable, match="cannot be reached"):
            await Fetcher()(url)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"])
async def test_silent_server_raises_unavailable(head: bytes) -> None:
    async with answering(head, b"", pause=20) as (url, _):
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await Fetcher(seconds=0.1)(url)
        assert time.monotonic() - started < 15


async def test_endless_response_raises_unavailable() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 200, pause=0.02) as (url, _):
        with pytest.raises(Unavailable, match=r"in time|reached"):
            await Fetcher(seconds=0.2)(url)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a", "data:text/plain,a"])
async def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(Unavailable):
        await Fetcher()(url)


async def test_closed_port_raises_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        await Fetcher()(f"http://127.0.0.1:{free_port()}/")


async def test_invalid_http_raises_unavailable() -> None:
    async with answering(b"SSH-2.0-OpenSSH\r\n") as (url, _):
        with pytest.raises(Unavailable):
            await Fetcher()(url)
