"""Bodies of every form become the JSON value that a parser gets."""

import base64
import json
import zlib
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service.errors import InvalidArgument, RequiredParameter, TooLarge
from event_service.normalize import parse, read_body, read_query
from event_service.normalize.forms import MOST_FIELDS
from event_service.normalize.xml_body import MOST_ELEMENTS
from event_service.wire.json_text import MAX_LINES
from tests.unit.normalize.examples import RECEIVED

FORM = "application/x-www-form-urlencoded"
LIFT = {"event_key": "lift-2", "title": "Aufzug fällt aus"}
JSON = json.dumps(LIFT, ensure_ascii=False)


def read(body: str | bytes, content_type: str = "", **headers: str) -> tuple[Any, str]:
    given_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type:
        given_headers["content-type"] = content_type
    return read_body(body.encode() if isinstance(body, str) else body, given_headers)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param("payload=" + quote_plus(JSON), FORM, id="slack"),
        pytest.param("payload=" + quote_plus(JSON), "application/json", id="form-declared-json"),
        pytest.param("payload=" + quote_plus(JSON), "", id="form-undeclared"),
        pytest.param("data=" + JSON, FORM, id="not-percent-encoded"),
        pytest.param("alert=" + quote_plus(JSON), FORM, id="any-only-field"),
        pytest.param("json=" + quote_plus(JSON) + "&title=x", FORM, id="beside-another-field"),
        pytest.param("event_key=lift-2&title=Aufzug+f%C3%A4llt+aus", FORM, id="fields"),
        pytest.param("event_key=lift-2&title=Aufzug fällt aus", FORM, id="fields-not-percent-encoded"),
        pytest.param("event_key=lift-2&title=Aufzug+f%E4llt+aus", f"{FORM}; charset=iso-8859-1", id="fields-latin-1"),
        pytest.param(json.dumps(JSON), "application/json", id="json-written-twice"),
        pytest.param(JSON + "\0", "application/json", id="trailing-nul"),
        pytest.param(JSON.encode("latin-1"), "application/json; charset=ISO-8859-1", id="latin-1"),
        pytest.param(JSON.encode("utf-16"), "application/json; charset=utf-16", id="utf-16"),
        pytest.param(JSON.encode("utf-16-le"), "application/json", id="utf-16-undeclared"),
        pytest.param(JSON.encode("utf-16"), "", id="utf-16-with-mark"),
        pytest.param(JSON.encode("cp1252"), "application/json", id="windows-powershell"),
        pytest.param(JSON, 'application/json; Charset="utf-8"', id="quoted-charset"),
        pytest.param(JSON, "application/json; charset=utf8mb4", id="unknown-charset"),
        pytest.param(JSON, "application/json; charset=utf-16", id="wrong-charset"),
    ],
)
def test_object_in_other_forms(body: str | bytes, content_type: str) -> None:
    assert read(body, content_type) == (LIFT, "")


@pytest.mark.parametrize("charset", ["euc-kr", "shift_jis", "iso-2022-jp", "gb18030", "koi8-r", "windows-1251", "big5"])
def test_declared_charset(charset: str) -> None:
    title = {"euc-kr": "디스크", "koi8-r": "Диск", "windows-1251": "Диск", "big5": "磁碟"}.get(charset, "中文")
    body = json.dumps({"title": title}, ensure_ascii=False).encode(charset)
    assert read(body, f"text/json; charset={charset}") == ({"title": title}, "")


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "utf-7", "zlib", "hex", "../x"])
def test_charsets_that_are_not_of_the_web_are_ignored(charset: str) -> None:
    assert read(JSON, f"application/json; charset={charset}") == (LIFT, "")


def test_fields_keep_json_lists_and_repetitions() -> None:
    body = "title=Disk&tags=" + quote_plus('["a", "b"]') + "&host=web-1&host=web-2&note=&n=5"
    assert read(body, FORM)[0] == {
        "title": "Disk", "tags": ["a", "b"], "host": ["web-1", "web-2"], "note": "", "n": "5",
    }  # fmt: skip


def multipart(*parts: tuple[str, bytes], boundary: str = "x-9f") -> tuple[bytes, str]:
    lines = [f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + body for head, body in parts]
    return b"\r\n".join([*lines, f"--{boundary}--\r\n".encode()]), f'multipart/form-data; boundary="{boundary}"'


def test_multipart() -> None:
    picture = ('name="graph"; filename="a \\"b\\".png"\r\nContent-Type: image/png', b"\x89PNG\x00\r\n--x\xff")
    assert read(*multipart(('name="payload"', JSON.encode()))) == (LIFT, "")
    payload, fault = read(*multipart(("name=title", "Müll".encode()), picture, ('name="host"', b"a\r\nb")))
    assert fault == ""
    assert payload == {
        "title": "Müll",
        "graph": {"filename": 'a "b".png', "data_base64": base64.b64encode(picture[1]).decode()},
        "host": "a\r\nb",
    }
    assert read(b"no part", "multipart/form-data; boundary=x") == ({"body": "no part"}, ANY_FAULT)
    assert read(b"no boundary", "multipart/form-data") == ({"body": "no boundary"}, ANY_FAULT)


class _AnyFault:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and other.startswith("the body is not JSON: ")

    __hash__ = None  # type: ignore[assignment]


ANY_FAULT = _AnyFault()


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/jsonl", "application/json", ""])
@pytest.mark.parametrize("separator", ["\n", "\r\n", "\n\n", "", " ", "\x1e"])
def test_json_lines(content_type: str, separator: str) -> None:
    body = separator.join(['{"title": "A"}', '{"title": "B"}', '[{"title": "C"}]'])
    assert read(body, content_type) == ([{"title": "A"}, {"title": "B"}, [{"title": "C"}]], "")


def test_broken_line_does_not_lose_the_others() -> None:
    payload, fault = read('{"title": "A"}\n{"title": "B\n{"title": "C"}\n', "application/x-ndjson")
    assert (payload, fault) == ([{"title": "A"}, '{"title": "B', {"title": "C"}], "")
    parsed = parse("auto", payload, {}, {}, RECEIVED)
    assert [event.title for event in parsed.events] == ["A", "C"]
    assert [item.raw_data for item in parsed.bad_items] == [{"body": '{"title": "B'}]


def test_object_over_several_lines_is_not_json_lines() -> None:
    body = '{\n"title": "Disk",\n"severity": oops\n}'
    assert read(body, "application/json") == ({"body": body}, ANY_FAULT)


def test_control_characters_in_strings() -> None:
    assert read('{"title": "Disk\tfull", "text": "line 1\nline 2\r\n\x07"}') == (
        {"title": "Disk\tfull", "text": "line 1\nline 2\r\n\x07"},
        "",
    )


SOAP = """<?xml version="1.0" encoding="ISO-8859-1"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header/><s:Body>
 <n:Notice xmlns:n="urn:x" n:level="high"><n:Subject>Tür &amp; Tor</n:Subject><Tag>a</Tag><Tag>b</Tag>
 <Note><![CDATA[<b>]]> more</Note><Empty/></n:Notice></s:Body></s:Envelope>"""


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(SOAP, "text/xml; charset=utf-8"), (SOAP.encode("latin-1"), "application/soap+xml"), (SOAP, ""), (SOAP, FORM)],
)
def test_xml(body: str | bytes, content_type: str) -> None:
    notice = {"level": "high", "Subject": "Tür & Tor", "Tag": ["a", "b"], "Note": "<b> more", "Empty": ""}
    assert read(body, content_type) == (notice, "")


@pytest.mark.parametrize(
    "body",
    [
        "<?xml version='1.0'?><a><b></a>",
        "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>",
        "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/hostname'>]><a>&e;</a>",
    ],
)
def test_xml_that_is_broken_or_declares_entities_is_text(body: str) -> None:
    assert read(body, "text/xml") == ({"body": body}, ANY_FAULT)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("Disk full on db-1", ""),
        ("Disk full on db-1", FORM),
        ("Disk at 95% & load=7", FORM),
        ("[FIRING:1] Disk full", "text/plain"),
        ("<p>Disk <b>full</b></p>", "text/html"),
        ("text=", "application/json"),
        ('{"title": "Disk "/var" full"}', "application/json"),
    ],
)
def test_text_stays_as_it_is(body: str, content_type: str) -> None:
    assert read(body, content_type) == ({"body": body}, ANY_FAULT)


@pytest.mark.parametrize(
    "body", [b"\x00\x01", b"\xff\xfe", b"\x1f\x8b\x08\x00", zlib.compress(b"x" * 99), b"\x89PNG\r\n\x1a"]
)
def test_other_bytes_come_back_equal(body: bytes) -> None:
    payload, fault = read(body, "application/json")
    assert fault == ANY_FAULT
    assert base64.b64decode(payload["body_base64"]) == body


def test_query_string() -> None:
    assert read_query(b"title=Disk+full&host=db-1", {"content-type": "text/plain"}) == (
        {"title": "Disk full", "host": "db-1"},
        "",
    )
    with pytest.raises(RequiredParameter):
        read_query(b"", {})


CE = {"ce_specversion": "1.0", "ce_type": "org.example.note", "ce_source": "/plant/3"}


@pytest.mark.parametrize(
    ("body", "content_type", "data"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b'{"a": 1}', "", {"a": 1}),
        (b'{"a": 1}', "text/plain", {"a": 1}),
        (b"007", "text/plain", "007"),
        (b"1.0", "text/plain; charset=utf-8", "1.0"),
        (b'"x"', "text/plain", '"x"'),
        (b"a=1&b=2", FORM, "a=1&b=2"),
        (b"<a/>", "application/xml", "<a/>"),
        ("Kühlung".encode("latin-1"), "text/plain; charset=latin-1", "Kühlung"),
        (b"", "text/plain", None),
    ],
)
def test_data_of_binary_cloud_events(body: bytes, content_type: str, data: Any) -> None:
    assert read(body, content_type, **CE) == (data, "")


@pytest.mark.parametrize("body", [b"\x00\xff\x01", b"plain", b'{"title": "Disk"}', b"12.50", b"\x01ab", b" 1\n"])
@pytest.mark.parametrize("content_type", ["application/octet-stream", "image/png", "application/x-protobuf"])
def test_bytes_of_binary_cloud_events_come_back_equal(body: bytes, content_type: str) -> None:
    headers = {name.replace("_", "-"): value for name, value in CE.items()} | {"content-type": content_type}
    payload, fault = read_body(body, headers)
    (event,) = parse("auto", payload, headers, {}, RECEIVED).events
    assert fault == ""
    assert event.title.isprintable()
    raw = event.raw_data
    if "data_base64" in raw:
        assert base64.b64decode(raw["data_base64"]) == body
    elif isinstance(raw["data"], str):
        assert raw["data"].encode() == body
    else:
        assert raw["data"] == json.loads(body)


def test_binary_cloud_event_with_broken_json_is_a_fault() -> None:
    assert read(b'{"a"', "application/json", **CE) == ({"body": '{"a"'}, ANY_FAULT)


@pytest.mark.parametrize("body", ["", " \r\n", "{}", "payload={}"])
def test_empty_bodies_are_refused(body: str) -> None:
    with pytest.raises(RequiredParameter):
        read(body, FORM)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("[" * 100_000, "application/json"),
        ("payload=" + "[" * 100_000, FORM),
        ("[" * 100_000 + "\n{}", "application/x-ndjson"),
        ("<?xml version='1.0'?>" + "<a>" * 101, "text/xml"),
        (("[" * 100_000).encode("utf-16"), ""),
    ],
)
def test_nesting_is_limited_in_every_form(body: str | bytes, content_type: str) -> None:
    with pytest.raises(InvalidArgument, match="nested too deeply"):
        read(body, content_type)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("a=1&" * MOST_FIELDS + "a=1", FORM),
        ("--x\r\n\r\n\r\n" * (MOST_FIELDS + 2), "multipart/form-data; boundary=x"),
        ("1\n" * (MAX_LINES + 1), "application/x-ndjson"),
        ("{}" * (MAX_LINES + 1), "application/json"),
        ("<?xml version='1.0'?><r>" + "<a/>" * MOST_ELEMENTS + "</r>", "text/xml"),
    ],
)
def test_members_are_limited_in_every_form(body: str, content_type: str) -> None:
    with pytest.raises(TooLarge):
        read(body, content_type)


@given(
    st.one_of(st.binary(max_size=80), st.text(alphabet='{}[]",:=&<>/?xml \n%7B', max_size=60).map(str.encode)),
    st.sampled_from(
        ["", FORM, "application/json", "text/xml", "application/x-ndjson", "multipart/form-data; boundary=a"]
    ),
)
def test_any_bytes_are_read_or_refused(body: bytes, content_type: str) -> None:
    try:
        payload, fault = read(body, content_type)
    except (RequiredParameter, InvalidArgument):
        assert not body.strip() or b"{" in body
        return
    json.dumps(payload)
    if fault:
        assert payload.keys() in ({"body"}, {"body_base64"})
    parsed = parse("auto", payload, {"content-type": content_type}, {}, RECEIVED, not_json=fault)
    assert parsed.events or parsed.bad_items or parsed.ignored
