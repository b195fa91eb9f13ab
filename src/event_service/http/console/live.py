"""Live views: server-sent events about what is new."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from event_service.errors import EventServiceError, Overloaded, Unavailable
from event_service.http.console.pages import Pages
from event_service.http.console.rendering import HEADERS

LIVE_VIEWS = 64
"""Most live views of one process."""

_KEEP_ALIVE_SECONDS = 15.0  # proxies close connections that are silent for a minute


class Batch(Protocol):
    @property
    def token(self) -> str: ...


News = TypeVar("News", bound=Batch)


class LiveViews:
    """The live views of a process.

    Args:
        is_ready: returns False once the service stops; live views end then.
    """

    def __init__(self, pages: Pages, is_ready: Callable[[], bool]) -> None:
        self._pages = pages
        self._is_ready = is_ready
        self._open = 0

    def admit(self) -> None:
        """Check that another view may be opened.

        Raises:
            Overloaded: too many live views are open.
            Unavailable: the service is not ready.
        """
        if self._open >= LIVE_VIEWS:
            raise Overloaded("Too many live views are open; close one or try again later.", retry_after=30)
        if not self._is_ready():
            raise Unavailable("The service is not ready; try again.", retry_after=5)

    def stream(
        self,
        request: Request,
        batches: AsyncGenerator[News, None],
        encode: Callable[[News], str],
        pause_seconds: float = 0.0,
    ) -> Response:
        """Return a response that streams batches, each with the token to resume from.

        Args:
            encode: returns the messages of a batch, "" if it has nothing new.
            pause_seconds: least pause after a batch with something new.
        """
        # nginx must not buffer the stream.
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        body = self._messages(request, batches, encode, pause_seconds)
        return StreamingResponse(body, media_type="text/event-stream", headers=headers)

    async def _messages(
        self,
        request: Request,
        batches: AsyncGenerator[News, None],
        encode: Callable[[News], str],
        pause_seconds: float,
    ) -> AsyncIterator[str]:
        self._open += 1
        sent_at = float("-inf")
        try:
            yield "retry: 3000\n\n"
            async for batch in batches:
                if not self._is_ready():
                    return
                self._pages.principal(request)  # raises once the token has expired
                if messages := encode(batch):
                    sent_at = time.monotonic()
                    yield messages
                    await asyncio.sleep(pause_seconds)
                elif time.monotonic() - sent_at >= _KEEP_ALIVE_SECONDS:
                    sent_at = time.monotonic()
                    yield message("quiet", "", batch.token)
        except EventServiceError:
            return  # the browser reconnects from the last id, and is redirected to sign in if that is the cause
        finally:
            self._open -= 1
            await batches.aclose()


def resume_token(request: Request) -> str:
    """Return the token of the last message that the browser has seen, or that of its page."""
    return request.headers.get("last-event-id", "") or request.query_params.get("after", "")


def message(name: str, data: str, token: str = "") -> str:
    """Format a server-sent event. Every line is prefixed by `data:`, so that no text can inject another field."""
    lines = "".join(f"data: {line}\n" for line in re.split(r"\r\n|\r|\n", data))
    return (f"id: {token}\n" if token else "") + f"event: {name}\n{lines}\n"
