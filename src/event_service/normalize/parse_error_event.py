"""The event of a payload that cannot be parsed, so that no authentic payload is lost.

All payloads of a webhook with the same class of fault share one alert: a broken collector is not an alert storm. Text
is kept apart by its first line: different messages are different alerts.
"""

import hashlib

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize.plain_text import without_times
from event_service.normalize.result import BadItem

TITLE_PREFIX = "Webhook Event Parsing Error - "
KEY_PREFIX = "unreadable-"
_DESCRIPTION_LIMIT = 4000  # characters


def build_parse_error_event(item: BadItem, *, webhook_id: str, webhook_name: str) -> EventDraft:
    """Return the ERROR event of a bad item, keyed by the webhook, the class of the first fault and the first line."""
    identity = f"{webhook_id}\0{item.faults[0].fault_class}"
    if item.first_line:
        identity += f"\0{without_times(item.first_line)}"
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
    return EventDraft(
        event_key=f"{KEY_PREFIX}{digest[:24]}",
        event_type=EventType.ERROR,
        title=item.first_line or TITLE_PREFIX + webhook_name,
        description=_description(item),
        severity=Severity.CRITICAL,
        raw_data=item.raw_data,
    )


def is_parse_error_event(event_type: str, event_key: str, title: str) -> bool:
    """Return True for a stored parse-error event, also for upstream's, whose keys are random."""
    return event_type == EventType.ERROR and (event_key.startswith(KEY_PREFIX) or title.startswith(TITLE_PREFIX))


def _description(item: BadItem) -> str:
    """Return one line per fault, as many as fit, and the number of the others."""
    lines: list[str] = []
    left = _DESCRIPTION_LIMIT
    for index, fault in enumerate(item.faults):
        line = str(fault)[:1000].strip()  # one long fault must not hide the others
        left -= len(line) + 1
        if left < 0:
            lines.append(f"and {len(item.faults) - index} more")
            break
        lines.append(line)
    return "\n".join(lines)
