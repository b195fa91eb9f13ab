"""Zabbix: upstream's media type script (nested), and the flat script that other tools document.

Source: https://www.zabbix.com/documentation/current/en/manual/appendix/macros/supported_by_location
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from event_service.model.event import EventDraft, Severity
from event_service.normalize.fields import extra_fields, joined_key, mapping, text, texts, upstream_key
from event_service.normalize.result import Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.severities import (
    UNKNOWN_SEVERITY,
    State,
    bare_title,
    chosen_severity,
    named_state,
    recovery_severity,
)
from event_service.normalize.splitting import single
from event_service.normalize.timestamps import moment

ACKNOWLEDGED = "acknowledge"
TEST = "test message"

# {EVENT.NSEVERITY}
_NUMBERS = {
    "5": Severity.CRITICAL,
    "4": Severity.ERROR,
    "3": Severity.WARNING,
    "2": Severity.WARNING,
    "1": Severity.INFO,
    "0": Severity.NONE,
}
_macro = re.compile(r"\{[A-Z$#?][^{}]*\}")


def detect(payload: Json, _headers: Headers) -> bool:
    if not isinstance(payload, dict) or "trigger" not in payload:
        return False
    event = payload.get("event")
    if isinstance(event, dict):
        return "id" in event and isinstance(payload.get("host"), dict)
    return "hostname" in payload and "status" in payload


def parse(payload: Json, _headers: Headers, options: Options, _received_at: datetime) -> Parsed:
    """Return one event.

    Args:
        options: `timezone` (`Europe/Berlin`) is the zone of {EVENT.DATE} and {EVENT.TIME}: that of the user who
            receives the message. Without it the time of receipt is used. `values.severity` translates severities.
    """
    body = object_of(payload)
    outcome = _read_nested(body, options) if isinstance(body.get("event"), dict) else _read_flat(body, options)
    return single(body, outcome)


def _read_nested(body: Mapping[str, Any], options: Options) -> EventDraft | str:
    event, host, trigger, item = (mapping(body.get(name)) for name in ("event", "host", "trigger", "item"))
    # {EVENT.ID} is the problem's id in its recovery too.
    event_id = _value(event, "id")
    if not event_id:
        if _is_test(event):
            return TEST
        raise ParseError.at("event.id", "must be given")
    # {EVENT.UPDATE.STATUS} is 1 for acknowledgements, comments and changes of severity.
    if _value(event, "update_status") == "1":
        return ACKNOWLEDGED
    status = _value(event, "status") or _value(event, "value") or _value(trigger, "status")
    state = _state(status)
    severity, remark = _severity(_value(event, "severity") or _value(trigger, "severity"), state, options)
    name = _value(trigger, "name")
    host_name, address = _value(host, "name") or _value(host, "visible_name"), _value(host, "connection_info")
    title = bare_title(_value(event, "name") or name or _value(body, "title"))
    return EventDraft(
        event_key=upstream_key(_value(host, "id"), event_id),
        event_type=state.event_type,
        title=title or "Zabbix problem",
        description=_value(body, "message"),
        severity=severity,
        rule=name,
        resources=texts(f"{host_name} ({address})" if host_name and address else host_name or address),
        additional_info=extra_fields(
            event_id=event_id,
            host_id=_value(host, "id"),
            trigger_id=_value(trigger, "id"),
            item_id=_value(item, "id"),
            item_key=_value(item, "key"),
            item_value=_value(item, "value"),
        ),
        occurred_at=_local_time(event, state),
        remark=remark,
    )


def _read_flat(body: Mapping[str, Any], options: Options) -> EventDraft | str:
    if _is_test({name: body.get(name) for name in ("hostname", "trigger", "status")}):
        return TEST
    host, trigger, link = (_value(body, name) for name in ("hostname", "trigger", "link"))
    state = _state(_value(body, "status"))
    severity, remark = _severity(_value(body, "severity"), state, options)
    ids = _ids_of_link(link)
    if not ids and not (host or trigger):
        raise ParseError.at("hostname", "must be given")
    return EventDraft(
        event_key=joined_key("zabbix", *(ids or (host, trigger))),
        event_type=state.event_type,
        title=bare_title(trigger) or (f"Zabbix problem of {host}" if host else "Zabbix problem"),
        severity=severity,
        rule=bare_title(trigger),
        resources=texts(host),
        additional_info=extra_fields(link=link, item=_value(body, "item")),
        remark=remark,
    )


def _is_test(event: Mapping[str, Any]) -> bool:
    """Return True for a test of the media type: there is no event, and every field is an unexpanded macro."""
    written = texts(list(event.values()))
    return bool(written) and all(_macro.fullmatch(value) for value in written)


def _value(body: Mapping[str, Any], name: str) -> str:
    """Return a field as text; "" for a macro that Zabbix could not expand (`{EVENT.RECOVERY.ID}`)."""
    value = text(body.get(name))
    return "" if _macro.fullmatch(value) or value == "*UNKNOWN*" else value


def _state(status: str) -> State:
    """Return the state; internal events end with `Normal`, {EVENT.VALUE} of a recovery is 0."""
    is_over = status == "0" or named_state(status) is State.RESOLVED
    return State.RESOLVED if is_over else State.FIRING


def _severity(written: str, state: State, options: Options) -> tuple[Severity, str]:
    """Return the severity, and a remark for a renamed one that no table knows."""
    severity = _NUMBERS.get(written) or chosen_severity(written, options)
    is_unknown = severity is None and bool(written)
    otherwise = Severity.WARNING if is_unknown else Severity.NONE
    return recovery_severity(severity, state.event_type, otherwise), UNKNOWN_SEVERITY if is_unknown else ""


def _ids_of_link(link: str) -> tuple[str, str] | None:
    """Return trigger and event id of `tr_events.php?triggerid=14032&eventid=10528`."""
    try:
        query = parse_qs(urlsplit(link).query, max_num_fields=100)
    except ValueError:
        return None
    trigger_id, event_id = (query.get(name, [""])[0] for name in ("triggerid", "eventid"))
    return (trigger_id, event_id) if trigger_id and event_id else None


def _local_time(event: Mapping[str, Any], state: State) -> datetime | None:
    prefix = "recovery_" if state is State.RESOLVED else ""
    return moment(f"{_value(event, f'{prefix}date')} {_value(event, f'{prefix}time')}")
