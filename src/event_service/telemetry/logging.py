"""Logs on stderr: human-readable on a terminal, else one JSON object per line.

Modules log with the standard library (`logging.getLogger(__name__)`) and give facts as `extra`, not inside the text:

    log.warning("a delivery was refused", extra={"webhook_id": webhook_id, "reason": reason})

`request_id` and `trace_id` of the current request are added to each record.

Secrets are not logged. Should one get into a record nevertheless (a URI in a driver's error, a path in a request line),
it is redacted here: in texts, fields and tracebacks.
"""

import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from event_service.printable import printable, printable_json, printable_lines
from event_service.telemetry.request import request_id, trace_id

# The standard attributes of a record; all others were given as `extra`.
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

_REDACTED = "***"
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    # user:password@ in an URI
    (re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/@\s]+@", re.IGNORECASE), rf"\g<scheme>{_REDACTED}@"),
    # the access key in a webhook's URL
    (re.compile(r"(?P<path>/webhook/[^/\s]+/)[^/\s?\"']+"), rf"\g<path>{_REDACTED}"),
    # a JSON Web Token
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), _REDACTED),
    (re.compile(r"(?P<scheme>\bBearer\s+)\S+", re.IGNORECASE), rf"\g<scheme>{_REDACTED}"),
    # name = value, as in query strings, metadata, JSON and repr
    (
        re.compile(
            r"(?P<name>(?:access_key|secret_key|signing_key|password|passwd|token|authorization|api_key)"
            r"[\"']?\s*[:=]\s*[\"']?)(?!\*\*\*)[^\s\"',;&)}\]]+",
            re.IGNORECASE,
        ),
        rf"\g<name>{_REDACTED}",
    ),
)
_SECRET_FIELDS = re.compile(r"access_key|secret|password|token|authorization", re.IGNORECASE)

_COLORS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "31;1"}


def setup_logging(level: str, stream: TextIO | None = None) -> None:
    """Send the logs of the process to `stream` (default stderr). A later call replaces an earlier one.

    Args:
        level: minimum level: debug, info, warning or error.
    """
    target = stream if stream is not None else sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(HumanFormatter() if target.isatty() else JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    # The driver's debug records contain whole commands, and so events.
    logging.getLogger("pymongo").setLevel(logging.WARNING)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_not_a_disconnect)


def _is_not_a_disconnect(record: logging.LogRecord) -> bool:
    """Filter out the error and traceback that grpc.aio logs when a client leaves while its call is being answered."""
    return not record.getMessage().startswith("ExecuteBatchError raised in core")


def redact(text: str) -> str:
    """Replace passwords, tokens and access keys in a text."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the `extra` fields as JSON values, with request_id and trace_id."""
    given = {
        name: _REDACTED if _SECRET_FIELDS.search(name) else _plain(value)
        for name, value in vars(record).items()
        if name not in _OWN_FIELDS
    }
    # Handlers format in the thread and task that logs, so the context variables are the record's.
    if "request_id" not in given and (current := request_id.get()):
        given["request_id"] = current
    if not given.get("trace_id") and (current := trace_id.get()):
        given["trace_id"] = current
    return given


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {
            str(name): _REDACTED if _SECRET_FIELDS.search(str(name)) else _plain(member)
            for name, member in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(member) for member in value]
    return redact(str(value))


def _trace(record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[1] is not None:
        parts.append("".join(traceback.format_exception(*record.exc_info)).rstrip())
    if record.stack_info:
        parts.append(record.stack_info)
    return redact("\n".join(parts))


class JsonFormatter(logging.Formatter):
    """Formats one JSON object per line: time (UTC, ms), level, logger, message, extra fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        # Extra fields must not replace these four.
        entry |= {name: value for name, value in _fields(record).items() if name not in entry}
        if trace := _trace(record):
            entry["exception"] = trace
        return printable_json(entry)


class HumanFormatter(logging.Formatter):
    """Formats `21:04:05 WARNING a delivery was refused webhook_id=webhook-1`, in colour; control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        color = _COLORS.get(record.levelname, "0")
        message = printable(redact(record.getMessage()))
        text = f"\x1b[2m{clock}\x1b[0m \x1b[{color}m{record.levelname:<7}\x1b[0m {message}"
        for name, value in _fields(record).items():
            shown = printable(value) if isinstance(value, str) else printable_json(value)
            text += f" \x1b[2m{printable(name)}=\x1b[0m{shown}"
        trace = _trace(record)
        return f"{text}\n{printable_lines(trace)}" if trace else text


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"
