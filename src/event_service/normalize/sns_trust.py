"""Verify messages of trusted Amazon SNS topics and confirm their subscriptions.

Only topics in the webhook's option `sns_topics` are trusted. Nothing here opens a connection: a callable fetches
certificates and opens links, and only URLs that passed every check of signatures.py.
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

# Fetches an https URL without redirects, within limits of time and size. Raises Unavailable.
Fetch = Callable[[str], Awaitable[bytes]]

CERTIFICATE_SECONDS = 24 * 3600.0
CERTIFICATES_KEPT = 32
NOT_TRUSTED = "The option sns_topics of the webhook does not name the topic."

MAX_FETCHES = 4
"""Concurrent fetches: a flood of forged messages must not become a flood of requests."""


def trusted_topics(options: Options) -> list[str]:
    """Return the topics in the option `sns_topics`."""
    option = options.get("sns_topics")
    members = option if isinstance(option, list) else [option]
    return [member for member in members if isinstance(member, str)]


@dataclass(frozen=True, slots=True)
class _Certificate:
    answer: "asyncio.Task[bytes]"
    expires_at: float


class SnsTrust:
    """Verification of SNS messages, and confirmation of the subscriptions of trusted topics.

    Args:
        fetch: see `Fetch`.
        monotonic: seconds.
    """

    def __init__(self, fetch: Fetch, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch_slots = asyncio.Semaphore(MAX_FETCHES)
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
        """Verify that a payload is a message of one of these topics.

        Raises:
            PermissionDenied: any other payload.
            Unavailable: the certificate cannot be fetched.
        """
        if not aws_sns.detect(payload, {}):
            raise PermissionDenied("The signature of SNS is invalid: the payload is not a message of Amazon SNS.")
        await verify_sns(payload, topics=topics, now=now, fetch_certificate=self._certificate)

    async def confirm(self, subscription: Subscription, topics: Collection[str], now: datetime) -> str:
        """Confirm a subscription if its topic is trusted and its message verified.

        Returns:
            "" if it is confirmed, else the reason as one sentence.
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
        """Return the certificate at a checked URL. Concurrent callers share one fetch."""
        now = self._monotonic()
        kept = self._certificates.get(url)
        if kept is None or now >= kept.expires_at:
            kept = _Certificate(asyncio.create_task(self._get(url)), now + CERTIFICATE_SECONDS)
            self._certificates[url] = kept
            # A failed fetch must not be cached for a day.
            kept.answer.add_done_callback(lambda answer: self._forget_failure(url, answer))
        # Shielded: the cancellation of one caller must not cancel the fetch of the others.
        return await asyncio.shield(kept.answer)

    def _forget_failure(self, url: str, answer: "asyncio.Task[bytes]") -> None:
        kept = self._certificates.get(url)
        if (answer.cancelled() or answer.exception() is not None) and kept is not None and kept.answer is answer:
            del self._certificates[url]

    async def _get(self, url: str) -> bytes:
        async with self._fetch_slots:
            return await self._fetch(url)


def is_subscription(payload: Mapping[str, Any] | Json) -> bool:
    """Return True for a subscription request. It is accepted unverified, since storing it does nothing else."""
    return aws_sns.detect(payload, {}) and payload.get("Type") == "SubscriptionConfirmation"
