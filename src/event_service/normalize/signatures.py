"""Verify the signatures of Amazon SNS, Sentry and PagerDuty.

All use the bytes as received and compare in constant time. Nothing here opens a connection: a callable fetches the
certificate of an SNS message, and only from URLs that passed every check.

Source: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html,
https://docs.sentry.io/organization/integrations/integration-platform/webhooks/ and
https://developer.pagerduty.com/docs/webhooks/webhook-signatures/
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from event_service.errors import PermissionDenied
from event_service.normalize.aws_arn import read_arn
from event_service.normalize.timestamps import moment

SNS_MAX_AGE = timedelta(hours=1)
SNS_CLOCK_TOLERANCE = timedelta(minutes=5)

# Fetches a certificate (PEM) from a checked URL, without following redirects; may raise Unavailable.
FetchCertificate = Callable[[str], Awaitable[bytes]]

_SNS_HOST = re.compile(r"sns\.([a-z0-9-]{1,40})\.amazonaws\.com(?:\.cn)?", re.ASCII)
_SNS_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_SNS_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SNS_SIGNED = {
    "Notification": _SNS_NOTIFICATION,
    "SubscriptionConfirmation": _SNS_CONFIRMATION,
    "UnsubscribeConfirmation": _SNS_CONFIRMATION,
}
_SNS_DIGESTS: dict[str, type[hashes.SHA1] | type[hashes.SHA256]] = {"1": hashes.SHA1, "2": hashes.SHA256}


def check_shared_secrets(headers: Mapping[str, str], body: bytes, options: Mapping[str, Any]) -> None:
    """Verify the signature of each tool that the webhook has a secret for.

    Args:
        headers: of the request, names in lower case.
        body: as received, byte for byte.
        options: the webhook's: `sentry_client_secret` (string), `pagerduty_secrets` (string or list: old and new).

    Raises:
        PermissionDenied: a signature is missing or invalid.
    """
    for secrets, check in (
        (_secrets(options.get("sentry_client_secret")), check_sentry),
        (_secrets(options.get("pagerduty_secrets")), check_pagerduty),
    ):
        if secrets:
            check(headers, body, secrets)


def check_sentry(headers: Mapping[str, str], body: bytes, secrets: Collection[str]) -> None:
    """Verify `sentry-hook-signature`: the hexadecimal HMAC-SHA256 of the body with the integration's client secret.

    Raises:
        PermissionDenied: no signature of one of the secrets.
    """
    _check_hmac([headers.get("sentry-hook-signature", "")], body, secrets, "Sentry")


def check_pagerduty(headers: Mapping[str, str], body: bytes, secrets: Collection[str]) -> None:
    """Verify `x-pagerduty-signature`: `v1=` and a hexadecimal HMAC-SHA256, several while a key rotates.

    Raises:
        PermissionDenied: no signature of one of the secrets.
    """
    given = [part.strip() for part in headers.get("x-pagerduty-signature", "").split(",")]
    _check_hmac([part.removeprefix("v1=") for part in given if part.startswith("v1=")], body, secrets, "PagerDuty")


async def verify_sns(
    message: Mapping[str, Any],
    *,
    topics: Collection[str],
    now: datetime,
    fetch_certificate: FetchCertificate,
    max_age: timedelta = SNS_MAX_AGE,
) -> None:
    """Verify that Amazon SNS sent this message recently, for one of these topics.

    Raises:
        PermissionDenied: the message is not verified.
    """
    url = sns_certificate_url(message, topics=topics, now=now, max_age=max_age)
    check_sns_signature(message, await fetch_certificate(url), now)


def sns_certificate_url(
    message: Mapping[str, Any], *, topics: Collection[str], now: datetime, max_age: timedelta = SNS_MAX_AGE
) -> str:
    """Check everything but the signature and return the URL of the certificate.

    Args:
        topics: ARNs that the webhook allows; others are refused.

    Raises:
        PermissionDenied: another topic, a time too far from now, or a URL that is not SNS in the topic's region.
    """
    topic_arn = message.get("TopicArn")
    if not isinstance(topic_arn, str) or topic_arn not in topics:
        raise _refused("SNS", "the webhook does not allow the topic")
    sent_at = moment(message.get("Timestamp"), UTC)
    if sent_at is None or not now - max_age <= sent_at <= now + SNS_CLOCK_TOLERANCE:
        raise _refused("SNS", "the message's time is too far from now")
    url = _sns_url(message.get("SigningCertURL"), topic_arn, "SigningCertURL")
    path = urlsplit(url).path
    if not path.endswith(".pem") or ".." in path or urlsplit(url).query:
        raise _refused("SNS", "SigningCertURL is not the URL of a certificate")
    return url


def sns_subscribe_url(message: Mapping[str, Any]) -> str:
    """Return the URL that confirms a subscription. Call it only after verify_sns has passed.

    Raises:
        PermissionDenied: not SNS in the topic's region, or a URL that does not confirm this topic.
    """
    topic_arn = message.get("TopicArn")
    url = _sns_url(message.get("SubscribeURL"), topic_arn if isinstance(topic_arn, str) else "", "SubscribeURL")
    try:
        query = parse_qs(urlsplit(url).query, max_num_fields=20)
    except ValueError:
        query = {}
    expected = {"Action": ["ConfirmSubscription"], "TopicArn": [topic_arn], "Token": [message.get("Token")]}
    if {name: query.get(name) for name in expected} != expected:
        raise _refused("SNS", "SubscribeURL does not confirm this topic's subscription")
    return url


def check_sns_signature(message: Mapping[str, Any], certificate: bytes, now: datetime) -> None:
    """Verify the RSA signature of the signed fields.

    Args:
        certificate: PEM, from sns_certificate_url().

    Raises:
        PermissionDenied: the signature or the certificate is invalid.
    """
    digest = _SNS_DIGESTS.get(str(message.get("SignatureVersion")))
    if digest is None:
        raise _refused("SNS", "the SignatureVersion is unknown")
    try:
        signature = base64.b64decode(str(message.get("Signature")), validate=True)
        parsed = x509.load_pem_x509_certificate(certificate)
        key = parsed.public_key()
    except (binascii.Error, ValueError) as error:
        raise _refused("SNS", "the signature or its certificate is malformed") from error
    if not isinstance(key, RSAPublicKey) or not parsed.not_valid_before_utc <= now <= parsed.not_valid_after_utc:
        raise _refused("SNS", "the certificate is not valid")
    try:
        # SNS signs version 1 with SHA-1; a topic is moved to version 2 by its owner.
        key.verify(signature, _sns_signed_bytes(message), padding.PKCS1v15(), digest())
    except InvalidSignature as error:
        raise _refused("SNS", "it does not match the message") from error


def _sns_signed_bytes(message: Mapping[str, Any]) -> bytes:
    """Return the string to sign: name and value of each field on separate lines, sorted by name."""
    names = _SNS_SIGNED.get(str(message.get("Type")))
    if names is None:
        raise _refused("SNS", "the Type is unknown")
    lines: list[str] = []
    for name in names:
        value = message.get(name)
        if value is None and name == "Subject":  # optional, and then not signed
            continue
        if not isinstance(value, str):
            raise _refused("SNS", f"{name} is missing")
        lines += (name, value)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")


def _sns_url(url: Any, topic_arn: str, name: str) -> str:
    """Return the URL if it is an SNS endpoint in the topic's region."""
    error = _refused("SNS", f"{name} is not an SNS URL in the topic's region")
    # Characters that Python and other clients may parse differently; SNS never sends them.
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or set(url) & set(" \\@#"):
        raise error
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as cause:
        raise error from cause
    host = _SNS_HOST.fullmatch(parts.netloc)
    if parts.scheme != "https" or port is not None or host is None or host.group(1) != read_arn(topic_arn).region:
        raise error
    return url


def _check_hmac(given: Collection[str], body: bytes, secrets: Collection[str], sender: str) -> None:
    """Compare every pair, so that the timing does not reveal which one matched."""
    valid = False
    for secret in secrets:
        expected = hmac.new(secret.encode("utf-8", "surrogatepass"), body, hashlib.sha256).hexdigest().encode()
        for signature in given:
            valid |= hmac.compare_digest(signature.lower().encode("utf-8", "surrogatepass"), expected)
    if not valid:
        raise _refused(sender, "it is missing or made with another secret")


def _secrets(option: Any) -> list[str]:
    members = option if isinstance(option, list) else [option]
    return [member for member in members if isinstance(member, str) and member]


def _refused(sender: str, reason: str) -> PermissionDenied:
    return PermissionDenied(f"The signature of {sender} is invalid: {reason}.")
