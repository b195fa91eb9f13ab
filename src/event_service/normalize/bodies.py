"""Read an HTTP body: bytes and headers to the JSON value that a parser gets.

JSON comes first, whatever the content type says. Other bodies are read by their content type or their first
characters: forms (forms.py), JSON lines, XML (xml_body.py). What remains is text, which plain_text.py parses.
"""

import base64
import json
import re
from collections.abc import Callable
from functools import partial

from event_service.errors import InvalidArgument, RequiredParameter, TooLarge
from event_service.normalize import forms, xml_body
from event_service.normalize.cloudevents import BYTES, UNPRINTABLE, is_binary
from event_service.normalize.plain_text import looks_like_json
from event_service.normalize.result import BODY, BODY_BASE64, Headers, Json, declares_json, media_type
from event_service.wire.json_text import (
    MAX_VALUES,
    NestedTooDeeply,
    NotJson,
    TooManyValues,
    parse_json,
    parse_json_lines,
)

_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)
# Of Python's codecs only the text encodings of https://encoding.spec.whatwg.org: others need quadratic time.
_ENCODING = re.compile(
    r"(?:utf-?(?:8|16|32)(?:-?[lb]e)?|us-?ascii|ascii|iso-?8859-?\d+|latin-?\d+|(?:windows-?|cp)\d+|koi8-?[ru]|mac-?roman"
    r"|shift[_-]?jis|sjis|euc-?(?:jp|kr|cn)|iso-2022-(?:jp|kr)|gb2312|gbk|gb18030|big5(?:-hkscs)?|tis-620)",
    re.IGNORECASE,
)
_UTF8 = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})
_LINES = frozenset(
    f"application/{prefix}{name}"
    for prefix in ("", "x-")
    for name in ("ndjson", "jsonl", "jsonlines", "json-lines", "ldjson", "json-seq", "json-stream")
)
# UTF-16 and Windows-1252 decode nearly all bytes. Of those that are no text most have a control character or a mark.
_BINARY = (*map(chr, (*range(7), *range(14, 27), *range(28, 32))), "\xff\xfe", "\xfe\xff")
_BYTES_TYPES = ("image/", "audio/", "video/", "font/", "application/octet-stream")


def read_body(body: bytes, headers: Headers) -> tuple[Json, str]:
    """Return the JSON value of a body.

    Args:
        body: decompressed.
        headers: names in lower case. A binary CloudEvent is described by its headers, so its body may be empty.

    Returns:
        The value and ""; None and "" for an empty body; or, if the body has no form that is known, `{"body": text}`
        and the reason. Bytes that are not text are `{"body_base64": text}` then.

    Raises:
        RequiredParameter: the body is empty or `{}`.
        InvalidArgument: the body is nested too deeply to be read back.
        TooLarge: the body holds too many values.
    """
    charset = ""
    # Most content types have no parameter.
    if ";" in (content_type := headers.get("content-type", "")):
        charset = _declared_charset(content_type)
        if charset not in _UTF8:
            body = _to_utf8(body, charset)
    is_event = is_binary(headers)
    if not body.strip():
        if is_event:
            return None, ""
        raise RequiredParameter("data")
    try:
        try:
            payload = parse_json(body)
        except NotJson as problem:
            read = _read_data if is_event else partial(_read_other, charset=charset)
            payload, fault = read(body, headers, f"the body is not JSON: {problem}")
            if fault:
                return payload, fault
    except NestedTooDeeply:
        raise InvalidArgument.at("data", "is nested too deeply") from None
    except TooManyValues:
        raise TooLarge.at("data", f"more than {MAX_VALUES} values") from None
    if is_event:
        return _data_as_declared(payload, body, headers), ""
    if payload == {}:
        raise RequiredParameter("data")
    if isinstance(payload, str) and looks_like_json(payload):
        return _read_json_text(payload), ""
    return payload, ""


def read_query(query: bytes, headers: Headers) -> tuple[Json, str]:
    """Return the JSON value of the query string of a GET, as `read_body` does for a form.

    Raises:
        RequiredParameter, InvalidArgument, TooLarge: as `read_body`.
    """
    return read_body(query, {**headers, "content-type": "application/x-www-form-urlencoded"})


def _declared_charset(content_type: str) -> str:
    found = _CHARSET.search(content_type)
    return found[1].lower() if found and _ENCODING.fullmatch(found[1]) else ""


def _to_utf8(body: bytes, charset: str) -> bytes:
    """Return the body in UTF-8, or unchanged if it does not have the declared encoding."""
    try:
        return body.decode(charset).encode()
    except (UnicodeError, LookupError):
        return body


def _read_json_text(written: str) -> Json:
    """Return the JSON value of a body that was written as JSON twice, or the text."""
    try:
        return parse_json(written.encode("utf-8", "surrogatepass"))
    except (NotJson, NestedTooDeeply, TooManyValues):
        return written


def _read_other(body: bytes, headers: Headers, fault: str, *, charset: str) -> tuple[Json, str]:
    """Read a body that is not JSON in UTF-8; return as `read_body`."""
    kind = media_type(headers)
    readers: list[Callable[[], Json]] = []
    if kind.startswith("multipart/"):
        readers.append(lambda: forms.read_multipart(body, headers["content-type"], charset or "utf-8"))
    text = _text_of(body)
    if text is not None:
        if kind in _LINES or looks_like_json(text):
            readers.append(partial(_read_json, text.encode(), always_lines=kind in _LINES))
        if forms.is_form(text, is_declared=kind == "application/x-www-form-urlencoded"):
            readers.append(partial(forms.read_form, text, charset or "utf-8"))
        if xml_body.is_xml(text, kind):
            readers.append(partial(xml_body.read_xml, text.encode()))
    for read in readers:
        payload = read()
        if isinstance(payload, str):
            return {BODY: payload}, fault
        if payload is not None:
            return payload, ""
    return ({BODY_BASE64: base64.b64encode(body).decode()} if text is None else {BODY: text}), fault


def _text_of(body: bytes) -> str | None:
    """Return the text of a body in Unicode or, like Windows PowerShell's, in Windows-1252; None for other bytes."""
    for encoding in (json.detect_encoding(body), "utf-8", "cp1252"):
        try:
            text = body.decode(encoding).removeprefix("\ufeff").rstrip("\0")
        except UnicodeDecodeError:
            continue
        unlikely = "\0" if encoding.startswith("utf-8") else _BINARY
        if text.strip() and not any(character in text for character in unlikely):
            return text
    return None


def _read_json(body: bytes, *, always_lines: bool) -> Json | None:
    """Return the value of JSON in another encoding, or the values of JSON lines; None for neither."""
    try:
        return parse_json(body)
    except NotJson:
        values = parse_json_lines(body)
    # One broken line of several is one bad member, but a broken object over several lines is no list of lines.
    return values if values and (always_lines or isinstance(values[0], dict | list)) else None


def _read_data(body: bytes, headers: Headers, fault: str) -> tuple[Json, str]:
    """Return the data of a binary CloudEvent that is not JSON."""
    try:
        text = None if UNPRINTABLE.search(body) else body.decode()
    except UnicodeDecodeError:
        text = None
    if declares_json(headers):
        return {BODY_BASE64: base64.b64encode(body).decode()} if text is None else {BODY: text}, fault
    return text, ""


def _data_as_declared(payload: Json, body: bytes, headers: Headers) -> Json:
    """Return the data of a binary CloudEvent in the form that gives back equal bytes."""
    kind = media_type(headers)
    if (payload is None and body.strip() != b"null") or kind.startswith(_BYTES_TYPES):
        return {BYTES: base64.b64encode(body).decode()}
    # `007` and `1.0` are text if the sender says so.
    if kind and not declares_json(headers) and not isinstance(payload, dict | list):
        return body.decode()
    return payload
