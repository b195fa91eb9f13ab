"""Words that tools use for severities and states."""

import re
from enum import Enum

from event_service.model.event import EventType, Severity
from event_service.normalize.fields import text
from event_service.normalize.result import Json

_SEVERITIES = {
    word: severity
    for severity, words in {
        Severity.CRITICAL: "critical crit fatal emergency emerg page disaster blocker panic p1 sev0",
        Severity.ERROR: "error err high major severe p2 sev1",
        Severity.WARNING: "warning warn medium moderate minor average p3 sev2",
        Severity.INFO: "info information informational notice low debug verbose trace p4 p5 sev3 sev4",
        Severity.NONE: "none",
        Severity.NOT_AVAILABLE: "not_available",
    }.items()
    for word in words.split()
}

_PRIORITIES = {
    name: severity
    for number, severity in enumerate(
        (Severity.CRITICAL, Severity.ERROR, Severity.WARNING, Severity.INFO, Severity.INFO), start=1
    )
    for name in (f"p{number}", str(number))
}


class State(Enum):
    """The state of an alert, as words like `firing`, `ok` or `acknowledged` express it."""

    FIRING = "firing"
    RESOLVED = "resolved"
    ACKNOWLEDGED = "acknowledged"

    @property
    def event_type(self) -> EventType:
        return EventType.RECOVERY if self is State.RESOLVED else EventType.ALERT


_STATES = {
    word: state
    for state, words in {
        State.FIRING: "firing fired fire alert alerting alarm triggered trigger open opened active activated problem"
        " raised raise critical error warning warn failed failure fail failing down unhealthy degraded new create"
        " created started start unresolved reopened reopen incident",
        State.RESOLVED: "resolved resolve recovered recovery recover ok okay closed close clear cleared normal success"
        " succeeded up healthy inactive deactivated ended end fixed passed passing",
        State.ACKNOWLEDGED: "acknowledged acknowledge ack acked snoozed snooze silenced muted assigned",
    }.items()
    for word in words.split()
}

_MARKS = (
    "(?:re-)?triggered|(?:re-)?warn|(?:re-)?no data|warning|alert|alerting|firing|ok|resolved|recovered|recovery"
    "|renotify|problem|p[1-5]"
)
_LABELS = "problem|resolved(?: in [^:]{1,40})?|recovered|recovery|firing|triggered|alerting"
_state_mark = re.compile(rf"\s*(?:\[(?:{_MARKS})\b[^\]]*\]|(?:{_LABELS})\s*:)\s*", re.IGNORECASE)


def named_severity(word: Json) -> Severity | None:
    """Return the severity of a word in any case, or None."""
    return _SEVERITIES.get(text(word).lower())


def priority_severity(value: Json) -> Severity | None:
    """Return CRITICAL for P1 or 1, to INFO for P5 or 5; None for other values."""
    return _PRIORITIES.get(text(value).lower())


def named_state(word: Json) -> State | None:
    """Return the state of a word in any case, or None. Booleans have no state."""
    return _STATES.get(text(word).lower())


def bare_title(title: str) -> str:
    """Remove leading marks of state and priority: `[Triggered on {host:a}] [P1] Disk` becomes `Disk`.

    A title of marks only is kept. Other brackets belong to the title: `[prod] Disk`.
    """
    start = 0
    # Marks repeat: `[Triggered] [P1] Problem: ...`.
    while found := _state_mark.match(title, start):
        start = found.end()
    return title[start:].strip() or title


def recovery_severity(severity: Severity | None, event_type: EventType, otherwise: Severity) -> Severity:
    """Return the payload's severity; without one, INFO for a recovery, else `otherwise`."""
    if severity is not None:
        return severity
    return Severity.INFO if event_type is EventType.RECOVERY else otherwise
