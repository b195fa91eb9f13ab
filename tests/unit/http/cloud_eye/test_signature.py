"""Signatures of the vendor's SDK are valid; changed requests are not."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from event_service.http.cloud_eye.signature import (
    InvalidSignature,
    SignedRequest,
    canonical_path,
    canonical_query,
    check_clock,
    parse_authorization,
    verify,
)
from tests.unit.http.cloud_eye.signing import ACCESS_KEY_ID, NOW, SECRET_KEY, authorization_of, sdk_date, signed

_text = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
# The SDK cuts a path at `?` and `#` itself; `.` and `..` parts are resolved by its HTTP client before they are sent.
_part = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="?#/%\\"), min_size=1, max_size=12)
_name = st.text("abcdefghijklmnopqrstuvwxyz-_.~ +*'%&=é中", min_size=1, max_size=8)
_header = st.text(st.characters(min_codepoint=0x21, exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), max_size=20)


def check(request: SignedRequest, *secret_keys: str) -> None:
    verify(request, parse_authorization(authorization_of(request)), secret_keys or (SECRET_KEY,))


def without(request: SignedRequest, name: bytes) -> SignedRequest:
    return replace(request, headers=[header for header in request.headers if header[0] != name])


def having(request: SignedRequest, name: bytes, value: bytes) -> SignedRequest:
    changed = without(request, name)
    return replace(changed, headers=[*changed.headers, (name, value)])


@given(
    parts=st.lists(_part.filter(lambda part: part.strip(".")), max_size=4),
    query=st.lists(st.tuples(_name, _text), max_size=5, unique_by=lambda pair: pair[0]),
    body=st.binary(max_size=200),
    value=_header,
)
def test_signatures_of_the_sdk_are_valid(
    parts: list[str], query: list[tuple[str, str]], body: bytes, value: str
) -> None:
    request = signed(path="/V1.0/" + "/".join(parts), query=list(query), body=body, headers={"X-Note": value})
    check(request)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_every_method_is_verified(method: str) -> None:
    check(signed(method=method))


def test_both_keys_are_valid_after_a_rotation() -> None:
    request = signed()
    check(request, "new key", SECRET_KEY)
    check(request, SECRET_KEY, "old key")
    with pytest.raises(InvalidSignature):
        check(request, "new key", "old key")


def test_security_token_is_signed() -> None:
    request = signed(headers={"X-Security-Token": "token"})
    assert b"x-security-token" in parse_authorization(authorization_of(request)).signed_headers
    check(request)
    with pytest.raises(InvalidSignature):
        check(having(request, b"x-security-token", b"another"))


def test_large_body_is_verified() -> None:
    check(signed(body=b"x" * 500_000))


def test_authorization_header_is_parsed() -> None:
    authorization = parse_authorization(authorization_of(signed()))
    assert authorization.access_key_id == ACCESS_KEY_ID
    assert authorization.signed_headers == (b"content-type", b"host", b"user-agent", b"x-project-id", b"x-sdk-date")


def test_trailing_slash_does_not_change_the_signature() -> None:
    request = signed(path="/V1.0/p/events")
    check(replace(request, path=request.path + b"/"))


@given(data=st.data())
def test_changed_requests_are_refused(data: st.DataObject) -> None:
    request = signed(query=[("from", "1"), ("to", "2")], body=b'[{"event_name": "a"}]')
    what = data.draw(
        st.sampled_from(["body", "path", "query", "signature", "method", "key", *request_headers(request)])
    )
    if what == "body":
        changed = replace(request, body=one_byte_changed(data, request.body))
    elif what == "path":
        path = one_byte_changed(data, request.path)
        assume(canonical_path(path) != canonical_path(request.path))
        changed = replace(request, path=path)
    elif what == "query":
        query = one_byte_changed(data, request.query)
        assume(canonical_query(query) != canonical_query(request.query))
        changed = replace(request, query=query)
    elif what == "signature":
        value = authorization_of(request)
        changed = having(request, b"authorization", value[:-64] + one_byte_changed(data, value[-64:]))
    elif what == "method":
        changed = replace(request, method=data.draw(st.sampled_from(["GET", "PUT", "PATCH"])))
    elif what == "key":
        with pytest.raises(InvalidSignature):
            check(request, SECRET_KEY[:-1] + "0")
        return
    else:
        name = what.encode()
        value = dict(request.headers)[name]
        altered = one_byte_changed(data, value)
        assume(altered.strip(b" \t") != value.strip(b" \t"))
        changed = having(request, name, altered)
    with pytest.raises(InvalidSignature):
        check(changed)


def request_headers(request: SignedRequest) -> list[str]:
    return [name.decode() for name in parse_authorization(authorization_of(request)).signed_headers]


def one_byte_changed(data: st.DataObject, value: bytes) -> bytes:
    position = data.draw(st.integers(0, len(value) - 1))
    byte = data.draw(st.integers(0x20, 0x7E).filter(lambda code: code != value[position]))
    return value[:position] + bytes([byte]) + value[position + 1 :]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer abc",
        b"SDK-HMAC-SHA256",
        b"SDK-HMAC-SHA256 Access=a",
        b"SDK-HMAC-SM3 Access=a, SignedHeaders=x-sdk-date, Signature=" + b"0" * 64,
        b"SDK-HMAC-SHA256 Access=, SignedHeaders=x-sdk-date, Signature=" + b"0" * 64,
        b"SDK-HMAC-SHA256 Access=a, SignedHeaders=host, Signature=" + b"0" * 64,
        b"SDK-HMAC-SHA256 Access=a, SignedHeaders=x-sdk-date;x-sdk-date, Signature=" + b"0" * 64,
        b"SDK-HMAC-SHA256 Access=a, SignedHeaders=x-sdk-date, Signature=" + b"0" * 63,
        b"SDK-HMAC-SHA256 Access=a, SignedHeaders=x-sdk-date, Signature=" + b"A" * 64,
        b"SDK-HMAC-SHA256 Access=a, SignedHeaders=x-sdk-date, Signature=" + b"0" * 64 + b"\n",
        b"SDK-HMAC-SHA256 Access=a b, SignedHeaders=x-sdk-date, Signature=" + b"0" * 64,
        b"V11-HMAC-SHA256 Credential=a/20260301/r/ces, SignedHeaders=x-sdk-date, Signature=" + b"0" * 64,
    ],
)
def test_malformed_headers_are_refused(value: bytes) -> None:
    with pytest.raises(InvalidSignature):
        parse_authorization(value)


@pytest.mark.parametrize("name", [b"host", b"x-sdk-date", b"user-agent"])
def test_missing_or_repeated_signed_headers_are_refused(name: bytes) -> None:
    request = signed()
    value = dict(request.headers)[name]
    with pytest.raises(InvalidSignature):
        check(without(request, name))
    with pytest.raises(InvalidSignature):
        check(replace(request, headers=[*request.headers, (name, value)]))


def test_unsigned_payload_is_refused() -> None:
    request = signed(headers={"Content-Type": "text/plain"})
    assert dict(request.headers)[b"x-sdk-content-sha256"] == b"UNSIGNED-PAYLOAD"
    with pytest.raises(InvalidSignature):
        check(request)


def test_declared_hash_must_match_the_body() -> None:
    request = signed()
    with pytest.raises(InvalidSignature):
        check(having(request, b"x-sdk-content-sha256", b"0" * 64))


def test_invalid_escapes_stay_distinct() -> None:
    assert canonical_path(b"/%ff") != canonical_path(b"/%fe")


def test_plus_is_not_a_blank() -> None:
    assert canonical_query(b"b=1+1&a=%20") == b"a=%20&b=1%2B1"


@pytest.mark.parametrize("seconds", [-900, -899, 0, 899, 900])
def test_clock_skew_up_to_15_minutes_is_accepted(seconds: int) -> None:
    check_clock([(b"x-sdk-date", sdk_date(NOW + timedelta(seconds=seconds)).encode())], NOW)


@pytest.mark.parametrize("seconds", [-901, 901, 86400])
def test_clock_skew_beyond_15_minutes_is_refused(seconds: int) -> None:
    with pytest.raises(InvalidSignature, match="expired"):
        check_clock([(b"x-sdk-date", sdk_date(NOW + timedelta(seconds=seconds)).encode())], NOW)


@pytest.mark.parametrize("value", [b"", b"now", b"20260301T120000", b"20261301T120000Z", b"2026-03-01T12:00:00Z"])
def test_malformed_dates_are_refused(value: bytes) -> None:
    with pytest.raises(InvalidSignature):
        check_clock([(b"x-sdk-date", value)], NOW)


def test_verification_takes_less_than_300_microseconds() -> None:
    request = signed(body=b'[{"event_name": "systemInvaded"}]' * 20)
    best = min(_seconds(request) for _ in range(200))
    print(f"signature check: {best * 1e6:.0f} us")
    assert best < 300e-6


def _seconds(request: SignedRequest) -> float:
    started = time.perf_counter()
    check_clock(request.headers, NOW)
    check(request)
    return time.perf_counter() - started
