"""Validate the webhook options that parsers and signatures use, when they are set instead of at each delivery."""

from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from event_service.normalize import custom
from event_service.normalize.aws_arn import read_arn
from event_service.normalize.result import Fault, Json, Options


def option_faults(options: Options) -> list[Fault]:
    """Return every invalid option with its path (`options.timezone`)."""
    faults = [
        Fault(f"options.{name}", problem)
        for name, problem_of in _CHECKS.items()
        if options.get(name) is not None and (problem := problem_of(options[name]))
    ]
    if options.get("mapping") is not None:
        faults += custom.check(options)
    return faults


def read_zone(name: Json) -> ZoneInfo | None:
    """Return the IANA time zone of that name (`Europe/Berlin`), or None."""
    if not isinstance(name, str):
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # OSError: the name of a directory
        return None


def _zone(value: Json) -> str:
    return "" if read_zone(value) else "must be the name of a time zone such as Europe/Berlin"


def _flag(value: Json) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _secret(value: Json) -> str:
    return "" if isinstance(value, str) and value else "must be a non-empty string"


def _secrets(value: Json) -> str:
    members = value if isinstance(value, list) else [value]
    return "" if members and not any(map(_secret, members)) else "must be a non-empty string or a list of them"


def _topics(value: Json) -> str:
    members = value if isinstance(value, list) else [value]
    known = all(isinstance(member, str) and read_arn(member).resource for member in members)
    return "" if known else "must be a list of SNS topic ARNs"


def _object(value: Json) -> str:
    return "" if isinstance(value, dict) else "must be an object"


_CHECKS: dict[str, Callable[[Json], str]] = {
    "timezone": _zone,
    "ignore_insufficient_data": _flag,
    "sentry_client_secret": _secret,
    "pagerduty_secrets": _secrets,
    "sns_topics": _topics,
    "values": _object,
}
