"""Turn a payload of any monitoring tool into events."""

from event_service.normalize.options import option_faults
from event_service.normalize.registry import AUTO, canonical_name, endpoint_of, known_names, parse
from event_service.normalize.result import BadItem, Fault, Parsed, Subscription
from event_service.normalize.unreadable import error_event, is_error_event

__all__ = [
    "AUTO",
    "BadItem",
    "Fault",
    "Parsed",
    "Subscription",
    "canonical_name",
    "endpoint_of",
    "error_event",
    "is_error_event",
    "known_names",
    "option_faults",
    "parse",
]
