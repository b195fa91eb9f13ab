"""Text and HTML: a cron job's output, a mail, `curl -d "Disk full"`. The first line is the title."""

import html
import re
from datetime import datetime

from event_service.normalize.fields import first_line, joined_key
from event_service.normalize.generic import read_event
from event_service.normalize.result import BODY, Headers, Json, Options, Parsed, ParseError, declares_json
from event_service.normalize.splitting import single

_JSON_START = re.compile(r"\s*(?:\{|\[\s*[\[{\"])")
_HTML_START = re.compile(r"\s*<(?:!doctype|!--|/?[a-z][a-z0-9]*[\s/>])", re.IGNORECASE)
_HIDDEN = ("script", "style")
_BLOCK = re.compile(r"</?(?:p|div|br|h[1-6]|li|ul|ol|tr|t[dh]|table|title|head|body|hr|pre)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[!/?a-z][^<>]*>", re.IGNORECASE)
_CONTROL = re.compile(r"\x1b\[[\d;]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_WORD = re.compile(r"\w")
# Part of the line, but not of the condition: the time of the message.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?|\d{10,}")


def looks_like_json(text: str) -> bool:
    """Return True for text that begins as a JSON object or list: `[FIRING:1] Disk full` does not."""
    return bool(_JSON_START.match(text))


def reads_text(text: str, headers: Headers) -> bool:
    """Return True for text that was not meant to be JSON."""
    return not declares_json(headers) and not looks_like_json(text) and bool(title_of(text))


def detect(payload: Json, _headers: Headers) -> bool:
    return isinstance(payload, str) and bool(title_of(payload))


def parse(payload: Json, _headers: Headers, options: Options, _received_at: datetime) -> Parsed:
    """Return one event, keyed by its first line without marks of state and times."""
    if not isinstance(payload, str):
        raise ParseError.at("", "must be text")
    written = _readable(payload)
    title = _first_words(written)
    if not title:
        raise ParseError.at("", "must have a line of text")
    event = read_event({"title": title, "description": written.strip()}, "", options)
    if not isinstance(event, str):
        event.event_key = joined_key("text", without_times(event.title))
    return single({BODY: payload}, event)


def title_of(text: str) -> str:
    """Return the first line that has a letter or digit, at most 250 characters; "" for none."""
    return _first_words(_readable(text))


def without_times(line: str) -> str:
    """Return a line without dates, times and long numbers, so that the same message later has the same key."""
    return " ".join(_TIME.sub("", line).split())


def _first_words(text: str) -> str:
    return next((first_line(line) for line in text.splitlines() if _WORD.search(line)), "")


def _readable(text: str) -> str:
    """Return text without control characters; of HTML only what a browser shows."""
    if _HTML_START.match(text):
        for name in _HIDDEN:
            text = _without_element(text, name)
        text = html.unescape(_TAG.sub("", _BLOCK.sub("\n", text)))
    return _CONTROL.sub("", text)


def _without_element(text: str, name: str) -> str:
    # Not one expression for both: it would search each unclosed element to the end.
    opening, closing = re.compile(rf"<{name}\b", re.IGNORECASE), re.compile(rf"</{name}\b", re.IGNORECASE)
    kept, position = [], 0
    while (start := opening.search(text, position)) and (end := closing.search(text, start.end())):
        kept.append(text[position : start.start()])
        position = end.start()
    return "".join((*kept, text[position:]))
