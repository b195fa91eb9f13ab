"""Bodies of HTML forms: application/x-www-form-urlencoded and multipart/form-data.

Source: https://url.spec.whatwg.org/#application/x-www-form-urlencoded and RFC 7578
"""

import base64
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

from event_service.normalize.result import Json
from event_service.wire.json_text import NotJson, TooManyValues, parse_json

MOST_FIELDS = 10_000

# Slack's name for the whole payload, and the names that other tools use.
_WHOLE = ("payload", "json", "data", "body")
_NAME = re.compile(r"[\w.\[\]%+-]{1,200}=")
_PAYLOAD = re.compile(r"(?:payload|json|data)=(?=\s*(?:\{|\[|%7B|%5B))", re.IGNORECASE)
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_PART_NAME = re.compile(r';\s*name=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)
_FILE_NAME = re.compile(r';\s*filename=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)


def is_form(text: str, *, is_declared: bool) -> bool:
    """Return True for `name=value&name=value`.

    Args:
        is_declared: the content type says so. curl says so for any text, and some tools say JSON for a form.
    """
    if not is_declared:
        return bool(_PAYLOAD.match(text))
    return all(_NAME.match(field) for field in text.strip().split("&"))


def read_form(text: str, charset: str) -> Json:
    """Return the JSON in the field `payload`, `json`, `data` or `body`, or an object of all fields.

    Args:
        charset: of the percent-encoded bytes.

    Returns:
        A str if that only field is text.

    Raises:
        TooManyValues: more than MOST_FIELDS fields.
    """
    if found := _PAYLOAD.match(text):
        # `curl -d 'payload={"text": "a & b"}'`: JSON without percent-encoding.
        value = _json_or_text(text[found.end() :])
        if not isinstance(value, str):
            return value
    try:
        pairs = parse_qsl(
            text.strip(), keep_blank_values=True, encoding=charset, errors="replace", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise TooManyValues from None
    return _payload_of(pairs)


def read_multipart(body: bytes, content_type: str, charset: str) -> Json | None:
    """Return the fields as `read_form` does; a file that is not text is an object with its name, type and bytes.

    Args:
        content_type: the header, with the boundary.
        charset: of fields that declare none.

    Returns:
        None if the body has no part with a name.

    Raises:
        TooManyValues: more than MOST_FIELDS parts.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        return None
    parts = b"\r\n".join((b"", body)).split(b"\r\n--" + (found[1] or found[2]).encode(), MOST_FIELDS + 1)
    if len(parts) > MOST_FIELDS:
        raise TooManyValues
    pairs = []
    for part in parts[1:]:
        if part.startswith(b"--"):  # what follows the last boundary is no part
            break
        head, _, content = part.partition(b"\r\n\r\n")
        headers = head[:4096].decode("utf-8", "replace")
        if name := _PART_NAME.search(headers):
            pairs.append((_unquoted(name), _content_of(content, headers, charset)))
    return _payload_of(pairs) if pairs else None


def _unquoted(found: re.Match[str]) -> str:
    return re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2]


def _content_of(content: bytes, headers: str, charset: str) -> Json:
    try:
        text = content.decode(charset)
    except (UnicodeDecodeError, LookupError):
        text = "\0"
    if "\0" not in text:
        return text
    file_name = _FILE_NAME.search(headers)
    return {"filename": _unquoted(file_name) if file_name else "", "data_base64": base64.b64encode(content).decode()}


def _payload_of(pairs: Iterable[tuple[str, Json]]) -> Json:
    fields: dict[str, Json] = {}
    for name, given in pairs:
        value = _json_or_text(given) if isinstance(given, str) else given
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], _Repeated):
            fields[name].append(value)
        else:
            fields[name] = _Repeated([fields[name], value])
    fields = {name: list(value) if isinstance(value, _Repeated) else value for name, value in fields.items()}
    if len(fields) == 1:
        ((name, value),) = fields.items()
        return value if name in _WHOLE or isinstance(value, dict | list) else fields
    for name in _WHOLE:
        # The other fields stay, for nothing of a payload is lost.
        if isinstance(whole := fields.get(name), dict):
            return {**{other: value for other, value in fields.items() if other != name}, **whole}
    return fields


class _Repeated(list[Json]):
    """The values of a field that is there more than once, not to be confused with a JSON list in a field."""


def _json_or_text(written: str) -> Json:
    if written.lstrip()[:1] not in {"{", "["}:
        return written
    try:
        return parse_json(written.encode("utf-8", "surrogatepass"))
    except NotJson:
        return written
