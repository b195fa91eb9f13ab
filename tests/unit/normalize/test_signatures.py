"""Signatures made with test keys, and every way they can be invalid."""

import hashlib
import hmac
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from event_service.errors import PermissionDenied
from event_service.normalize import signatures
from tests.unit.normalize.sns_messages import (
    CERTIFICATE,
    KEY,
    NOW,
    PEM_URL,
    TOPIC,
    certificate_of,
    confirmation,
    notification,
    signed,
)


async def verify(
    message: dict[str, Any], certificate: bytes = CERTIFICATE, topics: tuple[str, ...] = (TOPIC,)
) -> list[str]:
    """Verify the message and return the URLs of fetched certificates."""
    fetched: list[str] = []

    async def fetch(url: str) -> bytes:
        fetched.append(url)
        return certificate

    await signatures.verify_sns(message, topics=topics, now=NOW, fetch_certificate=fetch)
    return fetched


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("make", [notification, confirmation])
async def test_signed_message_accepted(make: Callable[..., dict[str, Any]], version: str) -> None:
    assert await verify(signed(make(), version)) == [PEM_URL]


async def test_signed_notification_without_subject_accepted() -> None:
    message = notification()
    del message["Subject"]
    await verify(signed(message))
    await verify({**signed(message), "Subject": None})


@pytest.mark.parametrize(
    "change",
    [
        {"Message": "line 1\nline 3"},
        {"MessageId": "m-9"},
        {"Subject": None},
        {"Subject": "other"},
        {"Timestamp": "2025-05-06T07:08:09.124Z"},
        {"Type": "SubscriptionConfirmation"},
        {"Type": "Other"},
        {"Signature": "AAAA"},
        {"Signature": "no base64!"},
        {"Signature": None},
        {"SignatureVersion": "1"},
        {"SignatureVersion": "3"},
        {"SignatureVersion": None},
        {"Message": {"a": 1}},
    ],
    ids=str,
)
async def test_changed_message_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PermissionDenied, match="signature of SNS"):
        await verify({**signed(notification()), **change})


@pytest.mark.parametrize("seconds", [-3601, 400])
async def test_old_and_future_messages_refused_without_fetch(seconds: int) -> None:
    sent_at = (NOW + timedelta(seconds=seconds)).isoformat()
    with pytest.raises(PermissionDenied, match="time"):
        await verify(signed(notification(Timestamp=sent_at)), certificate=b"never read")


async def test_a_topic_that_the_webhook_does_not_allow_is_refused() -> None:
    with pytest.raises(PermissionDenied, match="topic"):
        await verify(signed(notification()), topics=())
    with pytest.raises(PermissionDenied, match="topic"):
        await verify(signed(notification(TopicArn=TOPIC + "-2")))


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-central-1.amazonaws.com/a.pem",
        "https://sns.us-east-1.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com.example.org/a.pem",
        "https://sns.eu-central-1.amazonaws.com@example.org/a.pem",
        "https://example.org/sns.eu-central-1.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com:8443/a.pem",
        "https://sns.eu-central-1.amazonaws.com:x/a.pem",
        "https://user@sns.eu-central-1.amazonaws.com/a.pem",
        "https://SNS.eu-central-1.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com/a.txt",
        "https://sns.eu-central-1.amazonaws.com/../a.pem",
        "https://sns.eu-central-1.amazonaws.com/a.pem?next=.pem",
        "https://sns.eu-central-1.amazonaws.com/a.txt#.pem",
        "https://sns.eu-central-1.amazonaws.com\\.example.org/a.pem",
        "https://sns.eu-central-1.amazonaws.com/a\n.pem",
        "https://snsXeu-central-1.amazonaws.com/a.pem",
        "https://127.0.0.1/a.pem",
        "https://[::1/a.pem",
        "file:///etc/passwd.pem",
        "",
        None,
        5,
    ],
)
async def test_certificate_url_outside_sns_refused(url: Any) -> None:
    with pytest.raises(PermissionDenied):
        signatures.sns_certificate_url({**signed(notification()), "SigningCertURL": url}, topics=[TOPIC], now=NOW)


async def test_china_domain_accepted() -> None:
    topic = "arn:aws-cn:sns:cn-north-1:210987654321:ops"
    message = signed(notification(TopicArn=topic))
    url = "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-1.pem"
    assert signatures.sns_certificate_url({**message, "SigningCertURL": url}, topics=[topic], now=NOW) == url


async def test_wrong_key_expired_certificate_and_garbage_refused() -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    elliptic = ec.generate_private_key(ec.SECP256R1())
    for certificate in (
        certificate_of(other),
        certificate_of(KEY, NOW - timedelta(days=60)),
        certificate_of(elliptic),
        b"garbage",
        b"",
    ):
        with pytest.raises(PermissionDenied):
            await verify(signed(notification()), certificate)


def test_subscribe_url_accepted() -> None:
    message = confirmation()
    assert signatures.sns_subscribe_url(message) == message["SubscribeURL"]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/?Action=ConfirmSubscription&TopicArn=" + TOPIC + "&Token=2336412f37",
        f"https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe&TopicArn={TOPIC}&Token=2336412f37",
        f"https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}x&Token=2336412f37",
        f"https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=other",
        f"https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Action=x&TopicArn={TOPIC}&Token=2336412f37",
        "https://sns.eu-central-1.amazonaws.com/?" + "&".join(f"a{n}=1" for n in range(50)),
        "https://sns.eu-central-1.amazonaws.com/",
        None,
    ],
)
def test_subscribe_url_of_other_action_refused(url: Any) -> None:
    with pytest.raises(PermissionDenied):
        signatures.sns_subscribe_url(confirmation(SubscribeURL=url))


BODY = b'{"action": "resolved"}'


def hex_of(secret: str, body: bytes = BODY) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def test_sentry_signature() -> None:
    options = {"sentry_client_secret": "s1"}
    signatures.check_shared_secrets({"sentry-hook-signature": hex_of("s1")}, BODY, options)
    for headers in (
        {},
        {"sentry-hook-signature": ""},
        {"sentry-hook-signature": hex_of("s2")},
        {"sentry-hook-signature": hex_of("s1", BODY + b" ")},
        {"sentry-hook-signature": "é"},
    ):
        with pytest.raises(PermissionDenied, match="Sentry"):
            signatures.check_shared_secrets(headers, BODY, options)


def test_pagerduty_accepts_one_of_several_signatures() -> None:
    options = {"pagerduty_secrets": ["old", "new"]}
    for given in (f"v1={hex_of('new')}", f"v1={hex_of('x')}, v1={hex_of('old')}"):
        signatures.check_shared_secrets({"x-pagerduty-signature": given}, BODY, options)
    for given in ("", hex_of("new"), f"v2={hex_of('new')}", f"v1={hex_of('x')}"):
        with pytest.raises(PermissionDenied, match="PagerDuty"):
            signatures.check_shared_secrets({"x-pagerduty-signature": given}, BODY, options)


def test_no_check_without_secret() -> None:
    signatures.check_shared_secrets({}, BODY, {})
    signatures.check_shared_secrets({}, BODY, {"sentry_client_secret": "", "pagerduty_secrets": [None, 5]})
