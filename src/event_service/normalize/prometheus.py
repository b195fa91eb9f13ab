"""Alerts as Prometheus posts them to Alertmanager's API: a list without a group, a state or a fingerprint.

Source: https://prometheus.io/docs/alerting/latest/alerts_api/
"""

from datetime import datetime
from typing import Any

from event_service.model.event import EventDraft, EventType
from event_service.normalize.alertmanager import draft_of
from event_service.normalize.fields import flat
from event_service.normalize.prometheus_labels import Alert, event_key_of, info_of, occurred_at_of
from event_service.normalize.result import Headers, Json, Options, Parsed, object_of, raw_object
from event_service.normalize.splitting import check_members, every_member
from event_service.normalize.timestamps import moment

_FIELDS = frozenset({"startsAt", "endsAt", "generatorURL"})


def detect(payload: Json, _headers: Headers) -> bool:
    return every_member(payload, _is_alert)


def _is_alert(member: dict[str, Any]) -> bool:
    return isinstance(member.get("labels"), dict) and "status" not in member and not _FIELDS.isdisjoint(member)


def parse(payload: Json, _headers: Headers, options: Options, received_at: datetime) -> Parsed:
    """Return one event per alert, keyed by its labels. An alert is over if its `endsAt` has passed.

    The `endsAt` of an alert that fires is some minutes ahead: it ends by itself if Prometheus sends no more.
    """
    several = isinstance(payload, list)
    members = payload if several else [payload]
    check_members(members)
    parsed = Parsed()

    def read(member: Json, path: str) -> EventDraft:
        body = object_of(member, path)
        labels, annotations = flat(body.get("labels")), flat(body.get("annotations"))
        ends_at = moment(body.get("endsAt"))
        event_type = EventType.RECOVERY if ends_at is not None and ends_at <= received_at else EventType.ALERT
        key = event_key_of(body, labels, path)
        info = info_of(body, labels, annotations)
        alert = Alert(body, labels, annotations, key, event_type, occurred_at_of(body, event_type), info)
        return draft_of(alert, options)

    for index, member in enumerate(members):
        parsed.add(raw_object(member), read, member, f"[{index}]" if several else "")
    return parsed
