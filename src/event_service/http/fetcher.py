"""Asks an address outside for a little: Amazon's certificates and confirmation links, and nothing else.

The caller has checked the address. It is asked in a thread, once, through the proxy of the environment if there is one
(HTTPS_PROXY); a redirect is a refusal, since it would lead to an address that nobody has checked.
"""

import asyncio
import time
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

from event_service.errors import Unavailable

SECONDS = 5.0
LARGEST = 64 * 1024
_CHUNK = 16 * 1024


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No request follows: the redirect itself is the answer, which is no success."""


class Fetcher:
    """Fetches what is small and near at hand.

    Args:
        seconds: for one answer, all of it.
        largest: bytes of an answer.
    """

    def __init__(self, *, seconds: float = SECONDS, largest: int = LARGEST) -> None:
        self._seconds = seconds
        self._largest = largest
        self._opener = urllib.request.build_opener(_NoRedirects)

    async def __call__(self, url: str) -> bytes:
        """What is at an http(s) address.

        Raises:
            Unavailable: no success, too slow, too large.
        """
        host = urllib.request.Request(url).host  # noqa: S310 - the caller has checked it; so has _get
        try:
            # The thread's own limit counts from its first byte on: the system's name look-up has none.
            async with asyncio.timeout(2 * self._seconds):
                return await asyncio.to_thread(self._get, url)
        except TimeoutError:
            raise Unavailable(f"{host} did not answer in time; send again.") from None
        except HTTPError as error:
            raise Unavailable(f"{host} answered {error.code}; send again.") from None
        except (OSError, HTTPException, ValueError) as error:
            raise Unavailable(f"{host} cannot be asked; send again.") from error

    def _get(self, url: str) -> bytes:
        if not url.startswith(("https://", "http://")):
            raise ValueError("neither http nor https")
        give_up_at = time.monotonic() + self._seconds
        with self._opener.open(url, timeout=self._seconds) as answer:
            body = b""
            while chunk := answer.read1(_CHUNK):
                body += chunk
                if len(body) > self._largest:
                    raise ValueError("too large")
                if time.monotonic() > give_up_at:
                    raise TimeoutError
            return body
