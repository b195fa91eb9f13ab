"""Verification of SNS messages and confirmation of subscriptions. A callable replaces Amazon's hosts."""

import asyncio
from typing import Any

import pytest

from event_service.errors import PermissionDenied, Unavailable
from event_service.normalize import parse
from event_service.normalize.result import Subscription
from event_service.normalize.sns_trust import CERTIFICATES_KEPT, SnsTrust, is_subscription, trusted_topics
from tests.unit.normalize.sns_messages import CERTIFICATE, NOW, PEM_URL, TOPIC, confirmation, notification, signed


class Amazon:
    """Serves certificates and confirmation links, and records the requested URLs."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False
        self.at_once = 0
        self.most_at_once = 0

    async def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.001)
        self.at_once -= 1
        if self.away:
            raise Unavailable("it cannot be asked; send again.")
        return CERTIFICATE if url.endswith(".pem") else b"<ConfirmSubscriptionResponse/>"


@pytest.fixture
def amazon() -> Amazon:
    return Amazon()


def subscription(**changes: Any) -> Subscription:
    found = parse("auto", {**signed(confirmation()), **changes}, {}, {}, NOW).subscription
    assert found is not None
    return found


async def test_message_of_trusted_topic_verified(amazon: Amazon) -> None:
    trust = SnsTrust(amazon)
    await trust.verify(signed(notification()), [TOPIC], NOW)
    await trust.verify(signed(notification(MessageId="m-2"), "1"), [TOPIC], NOW)
    assert amazon.asked == [PEM_URL], "a certificate is fetched once"


@pytest.mark.parametrize(
    "payload",
    [
        {**signed(notification()), "Message": "forged"},
        {"Type": "Notification", "TopicArn": TOPIC, "MessageId": "m"},
        {"event_key": "k"},
        [signed(notification())],
        "text",
        {},
    ],
)
async def test_anything_else_is_refused(amazon: Amazon, payload: Any) -> None:
    with pytest.raises(PermissionDenied):
        await SnsTrust(amazon).verify(payload, [TOPIC], NOW)


async def test_a_certificate_is_fetched_again_after_a_day_and_after_a_failure(amazon: Amazon) -> None:
    now = 0.0
    trust = SnsTrust(amazon, monotonic=lambda: now)
    amazon.away = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            await trust.verify(signed(notification()), [TOPIC], NOW)
    amazon.away = False
    await trust.verify(signed(notification()), [TOPIC], NOW)
    now = 86_399.0
    await trust.verify(signed(notification()), [TOPIC], NOW)
    assert len(amazon.asked) == 3
    now = 86_400.0
    await trust.verify(signed(notification()), [TOPIC], NOW)
    assert len(amazon.asked) == 4


async def test_concurrent_callers_share_one_certificate_fetch(amazon: Amazon) -> None:
    trust = SnsTrust(amazon)
    asking = [asyncio.create_task(trust.verify(signed(notification()), [TOPIC], NOW)) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [None] * 4
    assert amazon.asked == [PEM_URL]


async def test_concurrent_fetches_limited(amazon: Amazon) -> None:
    trust = SnsTrust(amazon)
    forged = [
        {**signed(notification()), "SigningCertURL": PEM_URL.replace(".pem", f"{number}.pem"), "Message": "forged"}
        for number in range(2 * CERTIFICATES_KEPT)
    ]
    outcomes = await asyncio.gather(
        *(trust.verify(message, [TOPIC], NOW) for message in forged), return_exceptions=True
    )
    assert all(isinstance(outcome, PermissionDenied) for outcome in outcomes)
    assert amazon.most_at_once <= 4
    assert len(trust._certificates) == CERTIFICATES_KEPT


async def test_the_subscription_of_a_trusted_topic_is_confirmed(amazon: Amazon) -> None:
    assert await SnsTrust(amazon).confirm(subscription(), [TOPIC], NOW) == ""
    assert amazon.asked == [PEM_URL, confirmation()["SubscribeURL"]]


@pytest.mark.parametrize(
    ("changes", "topics", "reason"),
    [
        ({}, [], "sns_topics"),
        ({}, [TOPIC + "-2"], "topic"),
        ({"Token": "other"}, [TOPIC], "signature"),
        ({"SubscribeURL": "http://127.0.0.1/admin"}, [TOPIC], "signature"),
        ({"SigningCertURL": "https://example.org/own.pem"}, [TOPIC], "SigningCertURL"),
    ],
)
async def test_link_of_unverified_subscription_not_opened(
    amazon: Amazon, changes: dict[str, str], topics: list[str], reason: str
) -> None:
    assert reason in await SnsTrust(amazon).confirm(subscription(**changes), topics, NOW)
    assert amazon.asked in ([], [PEM_URL])


async def test_signed_link_of_other_action_not_opened(amazon: Amazon) -> None:
    link = f"https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe&TopicArn={TOPIC}&Token=2336412f37"
    found = parse("auto", signed(confirmation(SubscribeURL=link)), {}, {}, NOW).subscription
    assert found is not None
    assert "SubscribeURL" in await SnsTrust(amazon).confirm(found, [TOPIC], NOW)
    assert amazon.asked == [PEM_URL]


async def test_unreachable_sns_leaves_subscription_unconfirmed(amazon: Amazon) -> None:
    amazon.away = True
    assert "cannot be asked" in await SnsTrust(amazon).confirm(subscription(), [TOPIC], NOW)


def test_trusted_topics_and_subscription_detection() -> None:
    assert trusted_topics({}) == trusted_topics({"sns_topics": 5}) == []
    assert trusted_topics({"sns_topics": TOPIC}) == trusted_topics({"sns_topics": [TOPIC]}) == [TOPIC]
    assert is_subscription(signed(confirmation()))
    assert not is_subscription(signed(notification()))
    assert not is_subscription([1])
