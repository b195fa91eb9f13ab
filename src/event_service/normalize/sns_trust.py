"""Amazon SNS topics that a webhook trusts: their messages are verified, their subscriptions confirmed.

Only what a webhook's option `sns_topics` names is trusted. Nothing here opens a connection itself: certificates are
fetched, and links opened, by a callable that is given only addresses which passed every check of signatures.py.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cachetools import LRUCache

from event_service.errors import EventServiceError, PermissionDenied
from event_service.normalize import aws_sns
from event_service.normalize.result import Json, Options, Parsed, Subscription
from event_service.normalize.signatures import sns_subscribe_url, verify_sns

# Gets what is at an https address: without following redirects, in bounded time and size. Raises Unavailable.
Fetch = Callable[[str], Awaitable[bytes]]

CERTIFICATE_SECONDS = 24 * 3600.0
CERTIFICATES_KEPT = 32
NOT_TRUSTED = "The webhook has no option sns_topics that names the topic."

AT_ONCE = 4
"""Addresses that are fetched at the same time: a flood of forged messages must not become one of requests."""


def trusted_topics(options: Options) -> list[str]:
    """The topics a webhook trusts; none at all where it has no option `sns_topics`."""
    given = options.get("sns_topics")
    members = given if isinstance(given, list) else [given]
    return [member for member in members if isinstance(member, str)]


@dataclass(frozen=True, slots=True)
class _Certificate:
    answer: "asyncio.Task[bytes]"
    expires_at: float


class SnsTrust:
    """Verifies messages of SNS, and confirms the subscriptions of trusted topics.

    Args:
        fetch: see `Fetch`.
        monotonic: seconds.
    """

    def __init__(self, fetch: Fetch, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch_at_once = asyncio.Semaphore(AT_ONCE)
        self._fetch = fetch
        self._monotonic = monotonic
        self._certificates: LRUCache[str, _Certificate] = LRUCache(CERTIFICATES_KEPT)

    async def before_parse(self, payload: Json, options: Options, now: datetime) -> None:
        """Verify the message if the webhook names topics. An untrusted subscription passes: it is kept as an event."""
        topics = trusted_topics(options)
        if topics and not is_subscription(payload):
            await self.verify(payload, topics, now)

    async def after_parse(self, parsed: Parsed, options: Options, now: datetime) -> None:
        """Confirm the subscription of a trusted topic, or keep it as the event that carries its link."""
        if parsed.subscription is None:
            return
        if refusal := await self.confirm(parsed.subscription, trusted_topics(options), now):
            parsed.keep_subscription(refusal)

    def preview(self, parsed: Parsed, options: Options) -> None:
        """Keep the subscription of a topic that is not trusted."""
        if parsed.subscription and parsed.subscription.message["TopicArn"] not in trusted_topics(options):
            parsed.keep_subscription(NOT_TRUSTED)

    async def verify(self, payload: Json, topics: Collection[str], now: datetime) -> None:
        """Makes sure that a payload is a message of one of these topics.

        Raises:
            PermissionDenied: it is not.
            Unavailable: the certificate could not be fetched.
        """
        if not aws_sns.detect(payload, {}):
            raise PermissionDenied("The signature of SNS does not hold: the payload is no message of Amazon SNS.")
        await verify_sns(payload, topics=topics, now=now, fetch_certificate=self._certificate)

    async def confirm(self, subscription: Subscription, topics: Collection[str], now: datetime) -> str:
        """Confirms a subscription, if its topic is trusted and its message verified.

        Returns:
            "" if it is confirmed, else one sentence that says why not.
        """
        if not topics:
            return NOT_TRUSTED
        try:
            await self.verify(subscription.message, topics, now)
            await self._get(sns_subscribe_url(subscription.message))
        except EventServiceError as error:
            return error.message
        return ""

    async def _certificate(self, url: str) -> bytes:
        """The certificate at a checked address; those asked for at the same time are fetched once."""
        now = self._monotonic()
        kept = self._certificates.get(url)
        if kept is None or now >= kept.expires_at:
            kept = _Certificate(asyncio.create_task(self._get(url)), now + CERTIFICATE_SECONDS)
            self._certificates[url] = kept
            kept.answer.add_done_callback(lambda answer: self._forget_failure(url, answer))
        # Shielded: a caller that gives up must not take the answer from the others.
        return await asyncio.shield(kept.answer)

    def _forget_failure(self, url: str, answer: "asyncio.Task[bytes]") -> None:
        kept = self._certificates.get(url)
        if (answer.cancelled() or answer.exception() is not None) and kept is not None and kept.answer is answer:
            del self._certificates[url]

    async def _get(self, url: str) -> bytes:
        async with self._fetch_at_once:
            return await self._fetch(url)


def is_subscription(payload: Mapping[str, Any] | Json) -> bool:
    """Whether it asks for a subscription to be confirmed: taken from anybody, since it does nothing by itself."""
    return aws_sns.detect(payload, {}) and payload.get("Type") == "SubscriptionConfirmation"
