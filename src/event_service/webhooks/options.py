"""Validation of a webhook's name, options and tags when they are written, so that no delivery fails on them.

Unknown options are kept unchanged: they belong to the parser or to a remote plugin.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from event_service.errors import InvalidArgument, RequiredParameter, TooLarge
from event_service.model.retention import LONGEST_RETENTION_DAYS, OPTION, days_of_option
from event_service.model.webhook import AUTO_RESOLVE, LONGEST_AUTO_RESOLVE_HOURS, LONGEST_DUPLICATE_TIME
from event_service.normalize import option_faults
from event_service.wire.nesting import PAYLOAD_LEVEL
from event_service.wire.struct_encode import encode_struct

CLOUD_EYE = "cloud-eye"
"""The plugin_id of webhooks for Cloud Eye's SDKs, which sign with the access key and never send it."""

MAPPING = "mapping"
"""The plugin_id of webhooks parsed only by their own option of that name."""

LONGEST_NAME = 255

# Message level of plugin_info's Structs in `WebhooksInfo > WebhookInfo > WebhookPluginInfo > Struct`.
OPTIONS_LEVEL = PAYLOAD_LEVEL + 1

# Every list of webhooks includes their tags and options.
LARGEST = 64 * 1024

MOST_ALERTS = 1_000_000

_ENDPOINT = re.compile(r"grpc://(?:[^/\s:@?#\[\]]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})/?")
_CLOUD_EYE_PROJECT = re.compile(r"[A-Za-z0-9-]{1,64}")


def _duplicate_event_time(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "must be a number of seconds"
    if not 0 <= value <= LONGEST_DUPLICATE_TIME:
        return f"must be between 0 and {LONGEST_DUPLICATE_TIME} seconds"
    return ""


def _auto_resolve_hours(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_AUTO_RESOLVE_HOURS:
        return f"must be a number of hours between 0 (never) and {LONGEST_AUTO_RESOLVE_HOURS}"
    return ""


def _alerts_per_minute(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_ALERTS or value % 1:
        return f"must be a whole number between 0 (no limit) and {MOST_ALERTS}"
    return ""


def _retention_days(value: Any) -> str:
    if days_of_option(value) is None:
        return f"must be a whole number of days between 0 (unlimited) and {LONGEST_RETENTION_DAYS}"
    return ""


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _origins(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(name, str) and name.strip() for name in value):
        return ""
    return 'must be a list of host names, such as ["eventgrid.azure.net"]'


def _endpoint(value: Any) -> str:
    match = _ENDPOINT.fullmatch(value) if isinstance(value, str) else None
    if match is None or not 1 <= int(match[1]) <= 65535:
        return "must be grpc://HOST:PORT"
    return ""


def _cloud_eye_project(value: Any) -> str:
    if not isinstance(value, str) or not _CLOUD_EYE_PROJECT.fullmatch(value):
        return "must be a Cloud Eye project id: 1 to 64 letters, digits and dashes"
    return ""


Checks = Mapping[str, Callable[[Any], str]]

OF_EVERY_PARSER: Checks = {
    "duplicate_event_time": _duplicate_event_time,
    "alerts_per_minute": _alerts_per_minute,
    AUTO_RESOLVE: _auto_resolve_hours,
    OPTION: _retention_days,
    "auto_recovery": _flag,
    "endpoint": _endpoint,
    "allow_get": _flag,
    "allowed_origins": _origins,
}
OF_CLOUD_EYE: Checks = {"project_id": _cloud_eye_project}


def checked_name(name: str) -> str:
    """Return the stripped name.

    Raises:
        RequiredParameter: it is empty.
        InvalidArgument: it has more than 255 characters.
    """
    name = name.strip()
    if not name:
        raise RequiredParameter("name")
    if len(name) > LONGEST_NAME:
        raise InvalidArgument.at("name", f"must not have more than {LONGEST_NAME} characters")
    return name


def check_options(plugin_id: str, options: Mapping[str, Any]) -> None:
    """Validate the options of a webhook.

    Raises:
        InvalidArgument: an option of this service has an invalid value, or the options cannot be stored.
        TooLarge: over 64 KiB.
    """
    for checks in (OF_EVERY_PARSER, OF_CLOUD_EYE if plugin_id == CLOUD_EYE else {}):
        for name, problem_of in checks.items():
            if name in options and (problem := problem_of(options[name])):
                raise InvalidArgument.at(f"plugin_info.options.{name}", problem)
    if plugin_id == MAPPING and MAPPING not in options:
        raise InvalidArgument.at(f"plugin_info.options.{MAPPING}", "must be an object of JMESPath expressions")
    for fault in option_faults(options):
        raise InvalidArgument.at(f"plugin_info.{fault.path}", fault.problem)
    _check_size(encode_struct(options, path="plugin_info.options", level=OPTIONS_LEVEL), "plugin_info.options")


def check_tags(tags: Mapping[str, Any]) -> None:
    """Validate the tags of a webhook.

    Raises:
        InvalidArgument: they could not be read back once stored.
        TooLarge: over 64 KiB.
    """
    _check_size(encode_struct(tags, path="tags"), "tags")


def _check_size(wire: bytes, field: str) -> None:
    if len(wire) > LARGEST:
        raise TooLarge.at(field, f"has {len(wire)} bytes; at most {LARGEST} are allowed")
