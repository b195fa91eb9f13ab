"""Turn a payload of any monitoring tool into events."""

from event_service.normalize.bodies import read_body, read_query
from event_service.normalize.options import option_faults
from event_service.normalize.parse_error_event import build_parse_error_event, is_parse_error_event
from event_service.normalize.registry import (
    AUTO,
    canonical_name,
    delivery_hooks,
    endpoint_of,
    known_names,
    mask_credentials,
    parse,
)
from event_service.normalize.result import BadItem, Fault, Parsed, Subscription

__all__ = [
    "AUTO",
    "BadItem",
    "Fault",
    "Parsed",
    "Subscription",
    "build_parse_error_event",
    "canonical_name",
    "delivery_hooks",
    "endpoint_of",
    "is_parse_error_event",
    "known_names",
    "mask_credentials",
    "option_faults",
    "parse",
    "read_body",
    "read_query",
]
