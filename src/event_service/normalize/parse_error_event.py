"""The event that stands for what could not be read, so that nothing authentic is lost.

Source: section 3, point 6, of the Event API's rules: one alert per webhook and class of fault, however many payloads
have it, so that a broken collector is one open alert and not a storm.
"""

import hashlib

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize.result import BadItem

TITLE_PREFIX = "Webhook Event Parsing Error - "
KEY_PREFIX = "unreadable-"
_DESCRIPTION_LIMIT = 4000  # characters


def build_parse_error_event(item: BadItem, *, webhook_id: str, webhook_name: str) -> EventDraft:
    """The ERROR event of one bad item. Its key follows from the webhook and the first fault's class."""
    fault_class = item.faults[0].fault_class
    digest = hashlib.sha256(f"{webhook_id}\0{fault_class}".encode("utf-8", "surrogatepass")).hexdigest()
    return EventDraft(
        event_key=f"{KEY_PREFIX}{digest[:24]}",
        event_type=EventType.ERROR,
        title=TITLE_PREFIX + webhook_name,
        description=_description(item),
        severity=Severity.CRITICAL,
        raw_data=item.raw_data,
    )


def is_parse_error_event(event_type: str, event_key: str, title: str) -> bool:
    """Whether a stored event was made by `build_parse_error_event`, or by upstream, whose keys are random."""
    return event_type == EventType.ERROR and (event_key.startswith(KEY_PREFIX) or title.startswith(TITLE_PREFIX))


def _description(item: BadItem) -> str:
    """Every fault on a line of its own, as many as fit, then how many more there are."""
    lines: list[str] = []
    room = _DESCRIPTION_LIMIT
    for index, fault in enumerate(item.faults):
        line = str(fault)[:1000].strip()
        room -= len(line) + 1
        if room < 0:
            lines.append(f"and {len(item.faults) - index} more")
            break
        lines.append(line)
    return "\n".join(lines)
