"""Messages of Amazon SNS, signed with a test key."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

NOW = datetime(2025, 5, 6, 7, 10, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-central-1:210987654321:ops-alarms"
PEM_URL = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"


def certificate_of(key: Any, not_before: datetime = NOW - timedelta(days=1)) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(not_before).not_valid_after(not_before + timedelta(days=30))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CERTIFICATE = certificate_of(KEY)


def signed(message: dict[str, Any], version: str = "2", key: Any = KEY) -> dict[str, Any]:
    """Return the message with a signature over the fields that the vendor documents."""
    names = ["Message", "MessageId"]
    if message["Type"] == "Notification":
        names += [*(["Subject"] if "Subject" in message else []), "Timestamp", "TopicArn", "Type"]
    else:
        names += ["SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    written = "".join(f"{name}\n{message[name]}\n" for name in names).encode()
    digest = hashes.SHA1() if version == "1" else hashes.SHA256()
    signature = base64.b64encode(key.sign(written, padding.PKCS1v15(), digest)).decode()
    return {**message, "Signature": signature, "SignatureVersion": version, "SigningCertURL": PEM_URL}


def notification(**changes: Any) -> dict[str, Any]:
    return {
        "Type": "Notification",
        "MessageId": "m-1",
        "TopicArn": TOPIC,
        "Subject": "장애",
        "Message": "line 1\nline 2",
        "Timestamp": "2025-05-06T07:08:09.123Z",
        **changes,
    }


def confirmation(**changes: Any) -> dict[str, Any]:
    return {
        "Type": "SubscriptionConfirmation",
        "MessageId": "m-2",
        "TopicArn": TOPIC,
        "Token": "2336412f37",
        "Message": "You have chosen to subscribe.",
        "SubscribeURL": f"https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37",
        "Timestamp": "2025-05-06T07:08:09.123Z",
        **changes,
    }
