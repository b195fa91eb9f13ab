"""SDK-HMAC-SHA256: the signature of the vendor's SDKs, verified over the bytes that were received.

    CanonicalRequest = the lines METHOD, path, query, headers, names of the signed headers, hex(sha256(body))
    StringToSign     = the lines "SDK-HMAC-SHA256", X-Sdk-Date, hex(sha256(CanonicalRequest))
    Signature        = hex(hmac_sha256(secret key, StringToSign))

No framework may decode, normalise or re-encode path, query, headers or body before. There is no nonce, and the same
call in the same second has the same signature; a replay is harmless, since an event of one identity is stored once.

Source: the vendor's "API request signing guide", and requests of its Python, Node and Go SDKs.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_from_bytes, unquote_to_bytes

ALGORITHM = b"SDK-HMAC-SHA256"

# "The difference between the server's and the client's time is within 15 minutes": both ends included.
CLOCK_TOLERANCE = timedelta(minutes=15)

_AUTHORIZATION = re.compile(
    rb"SDK-HMAC-SHA256 +Access=([!-+\--~]{1,256}) *, *SignedHeaders=([!-+\--~]+) *, *Signature=([0-9a-f]{64})"
)
_DATE = re.compile(rb"[0-9]{8}T[0-9]{6}Z")  # strptime alone accepts fewer digits
_UNRESERVED_PATH = re.compile(rb"[A-Za-z0-9._~/-]*")
_BLANKS = b" \t"

Headers = Sequence[tuple[bytes, bytes]]


class InvalidSignature(Exception):
    """The request's signature is missing, malformed or wrong. The text names no secret."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """The parts of an `Authorization: SDK-HMAC-SHA256 ...` header.

    Attributes:
        access_key_id: id of the key that signed: a webhook's id.
        signed_headers: names of the signed headers, lower case, in the order they were signed.
        signature: 64 lower-case hexadecimal digits.
    """

    access_key_id: str
    signed_headers: tuple[bytes, ...]
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as received.

    Attributes:
        path: the request target before the `?`, percent-encoded.
        query: the request target after the `?`, percent-encoded.
        headers: names in lower case, in any order.
    """

    method: str
    path: bytes
    query: bytes
    headers: Headers
    body: bytes


def parse_authorization(value: bytes) -> Authorization:
    """Parse the Authorization header.

    Raises:
        InvalidSignature: the algorithm is not supported, the header is malformed, or X-Sdk-Date is not signed.
    """
    match = _AUTHORIZATION.fullmatch(value.strip(_BLANKS))
    if match is None:
        if value.split(b" ", 1)[0] != ALGORITHM:
            raise InvalidSignature("only the algorithm SDK-HMAC-SHA256 is supported")
        raise InvalidSignature("the Authorization header is malformed")
    signed_headers = tuple(match[2].lower().split(b";"))
    if b"x-sdk-date" not in signed_headers:
        raise InvalidSignature("the signature must cover the header x-sdk-date")
    if len(set(signed_headers)) != len(signed_headers):
        raise InvalidSignature("a header is signed twice")
    return Authorization(match[1].decode("ascii"), signed_headers, match[3])


def check_clock(headers: Headers, now: datetime) -> None:
    """Compare X-Sdk-Date with the server's clock. Needs no body.

    Args:
        now: the server's time, timezone-aware.

    Raises:
        InvalidSignature: the header is missing or malformed, or more than 15 minutes off.
    """
    date = _only(headers, b"x-sdk-date")
    if not _DATE.fullmatch(date):
        raise InvalidSignature("the header X-Sdk-Date must have the form 20240131T235959Z")
    try:
        signed_at = datetime.strptime(date.decode("ascii"), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidSignature("the header X-Sdk-Date is not a valid time") from None
    if abs(now - signed_at) > CLOCK_TOLERANCE:
        raise InvalidSignature("signature expired: X-Sdk-Date is more than 15 minutes off the server's time")


def verify(request: SignedRequest, authorization: Authorization, secret_keys: Sequence[str]) -> None:
    """Recompute the signature and compare in constant time.

    Args:
        secret_keys: the valid ones; two for a while after a rotation.

    Raises:
        InvalidSignature: another key signed, or a signed part was changed.
    """
    payload_hash = hashlib.sha256(request.body).hexdigest().encode("ascii")
    for name, value in request.headers:
        # Sent only if the sender hashed something other than the body's bytes, or hashed nothing.
        if name == b"x-sdk-content-sha256" and not hmac.compare_digest(value.strip(_BLANKS).lower(), payload_hash):
            raise InvalidSignature("X-Sdk-Content-Sha256 must be the SHA-256 of the body; it must be signed")
    canonical_headers = b"".join(
        name + b":" + _only(request.headers, name) + b"\n" for name in authorization.signed_headers
    )
    canonical_request = b"\n".join(
        (
            request.method.upper().encode("ascii", "replace"),
            canonical_path(request.path),
            canonical_query(request.query),
            canonical_headers,
            b";".join(authorization.signed_headers),
            payload_hash,
        )
    )
    string_to_sign = b"\n".join(
        (
            ALGORITHM,
            _only(request.headers, b"x-sdk-date"),
            hashlib.sha256(canonical_request).hexdigest().encode("ascii"),
        )
    )
    # Every key is tried, so that the time does not reveal which one matched.
    matches = [
        hmac.compare_digest(_sign(string_to_sign, secret_key), authorization.signature) for secret_key in secret_keys
    ]
    if not any(matches):
        raise InvalidSignature("verify aksk signature fail")


def canonical_path(path: bytes) -> bytes:
    """Return the path in canonical percent-encoding, with a slash at the end."""
    if not _UNRESERVED_PATH.fullmatch(path):
        parts = unquote_to_bytes(path).split(b"/")
        path = "/".join(quote_from_bytes(part, safe="~") for part in parts).encode("ascii")
    return path if path.endswith(b"/") else path + b"/"


def canonical_query(query: bytes) -> bytes:
    """Return the query sorted and in canonical percent-encoding. `+` is a plus sign, a blank is `%20`."""
    pairs = []
    for part in query.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            pairs.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    return "&".join(
        f"{quote_from_bytes(name, safe='~')}={quote_from_bytes(value, safe='~')}" for name, value in sorted(pairs)
    ).encode("ascii")


def _sign(string_to_sign: bytes, secret_key: str) -> bytes:
    return hmac.new(secret_key.encode(), string_to_sign, hashlib.sha256).hexdigest().encode("ascii")


def _only(headers: Headers, name: bytes) -> bytes:
    # Of two, a proxy and this server might read different ones.
    values = [value for key, value in headers if key == name]
    if len(values) != 1:
        shown = name.decode("ascii", "replace")
        raise InvalidSignature(f"the signed header {shown} must be sent exactly once")
    return values[0].strip(_BLANKS)
