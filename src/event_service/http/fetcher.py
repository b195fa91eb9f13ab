"""Fetch small documents: the certificates and confirmation links of Amazon SNS, and nothing else.

The caller has validated the URL. There is one request, in a thread, through the proxy of the environment (HTTPS_PROXY)
if set; a redirect is an error, since its target is not validated.
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
        """Return None: the redirect itself is the response."""


class Fetcher:
    """A client for small documents.

    Args:
        seconds: most seconds for a whole response.
        largest: largest response, in bytes.
    """

    def __init__(self, *, seconds: float = SECONDS, largest: int = LARGEST) -> None:
        self._seconds = seconds
        self._largest = largest
        self._opener = urllib.request.build_opener(_NoRedirects)

    async def __call__(self, url: str) -> bytes:
        """Return the body at an http(s) URL.

        Raises:
            Unavailable: the status is not 200 to 299, or the response is too slow or too large.
        """
        host = urllib.request.Request(url).host  # noqa: S310 - _get checks the scheme
        try:
            # The thread's own timeout does not cover the system's name resolution.
            async with asyncio.timeout(2 * self._seconds):
                return await asyncio.to_thread(self._get, url)
        except TimeoutError:
            raise Unavailable(f"{host} did not answer in time; send again.") from None
        except HTTPError as error:
            raise Unavailable(f"{host} answered {error.code}; send again.") from None
        except (OSError, HTTPException, ValueError) as error:
            raise Unavailable(f"{host} cannot be reached; send again.") from error

    def _get(self, url: str) -> bytes:
        if not url.startswith(("https://", "http://")):
            raise ValueError("the URL is neither http nor https")
        deadline = time.monotonic() + self._seconds
        with self._opener.open(url, timeout=self._seconds) as response:
            body = b""
            # read1 returns after each read of the socket, so a slow server cannot pass the deadline unnoticed.
            while chunk := response.read1(_CHUNK):
                body += chunk
                if len(body) > self._largest:
                    raise ValueError("the response is too large")
                if time.monotonic() > deadline:
                    raise TimeoutError
            return body
