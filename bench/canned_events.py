"""The made-up events of the MongoDB double, as the service itself would have stored them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from bson import ObjectId
from google.protobuf import struct_pb2

from bench.workload import payload
from event_service.model.condition import AlertReference
from event_service.model.event import Event, EventDraft, EventType, Severity
from event_service.store.documents import event_document

DOMAIN, WORKSPACE, PROJECT, WEBHOOK = "d-1", "ws-1", "project-1", "webhook-000000000000"
EVENT_IDS = tuple(f"event-{number:012x}" for number in range(100))
"""Events that are always there."""

_KEPT = 1000
_NEWEST = datetime(2026, 1, 1, tzinfo=UTC)


class CannedEvents:
    """Answers find, count and group as a collection of `number` events of one project would.

    A reply is made once for each shape of question and kept as BSON: every further one costs a look-up.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._documents = [_document(position) for position in range(min(number, _KEPT))]
        self._replies: dict[Any, bytes] = {}

    def find(self, namespace: str, command: Mapping[str, Any]) -> bytes:
        """Return the events that are named by their ids, else the newest from `skip` on, as many as `limit` says.

        What else the filter says is taken as true.
        """
        projection, wanted = command.get("projection") or {}, command.get("filter", {})
        if "event_id" in wanted or "_id" in wanted:
            return self._named(namespace, projection, wanted)
        limit = command.get("limit", 0) or command.get("batchSize", 0)
        rows = max(min(limit or _KEPT, self.number - command.get("skip", 0)), 0)
        shape = ("find", rows, tuple(projection.items()))
        if shape not in self._replies:
            batch = [_projected(self._documents[row % len(self._documents)], projection) for row in range(rows)]
            self._replies[shape] = bson.encode({"cursor": {"firstBatch": batch, "id": 0, "ns": namespace}, "ok": 1.0})
        return self._replies[shape]

    def _named(self, namespace: str, projection: Mapping[str, Any], wanted: Mapping[str, Any]) -> bytes:
        # Conditions look for events of theirs by _id, of which there are none.
        names = wanted.get("event_id", [])
        names = names.get("$in", [names.get("$eq")]) if isinstance(names, Mapping) else names
        shape = ("named", tuple(names) if isinstance(names, list) else names, tuple(projection.items()))
        if shape not in self._replies:
            asked = {names} if isinstance(names, str) else set(names)
            batch = [_projected(row, projection) for row in self._documents if row["event_id"] in asked]
            if len(self._replies) > _KEPT:
                self._replies.clear()
            self._replies[shape] = bson.encode({"cursor": {"firstBatch": batch, "id": 0, "ns": namespace}, "ok": 1.0})
        return self._replies[shape]

    def aggregate(self, namespace: str, command: Mapping[str, Any]) -> bytes:
        """Return one row: how many events there are, under whatever names the last stage gives its fields."""
        stages = command["pipeline"]
        shape = ("aggregate", repr([stage for stage in stages if "$match" not in stage]))
        if shape not in self._replies:
            row = _aggregated(stages, self.number)
            self._replies[shape] = bson.encode({"cursor": {"firstBatch": [row], "id": 0, "ns": namespace}, "ok": 1.0})
        return self._replies[shape]


def _aggregated(stages: list[Mapping[str, Any]], number: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for stage in stages:
        if "$count" in stage:
            row = {stage["$count"]: number}
        if group := stage.get("$group"):
            key = group["_id"]
            row = {"_id": dict.fromkeys(key, "ERROR") if isinstance(key, Mapping) else key}
            row |= {name: number for name in group if name != "_id"}
        if project := stage.get("$project"):
            row = {name: row.get(name, "ERROR") for name, shown in project.items() if shown}
    return row


def _projected(document: Mapping[str, Any], projection: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name for name, value in projection.items() if value}
    if not shown:
        return {name: value for name, value in document.items() if name not in projection}
    if projection.get("_id", True):
        shown.add("_id")
    return {name: value for name, value in document.items() if name in shown}


def stored_document(position: int, newest: datetime, step: timedelta) -> dict[str, Any]:
    """Return a stored event: the `position`-th before the newest, each `step` older than the last."""
    return _document(position, newest - position * step)


def _document(position: int, created_at: datetime | None = None) -> dict[str, Any]:
    data = payload(position)
    wire = struct_pb2.Struct()
    wire.update(data)
    draft = EventDraft(
        event_key=data["event_key"],
        event_type=EventType.ALERT,
        title=data["title"],
        description=data["description"],
        severity=Severity.ERROR,
        resources=["bastion"],
        additional_info=data["additional_info"],
        raw_data=data,
        raw_wire=wire.SerializeToString(),
    )
    event = Event(
        event_id=f"event-{position:012x}",
        draft=draft,
        domain_id=DOMAIN,
        workspace_id=WORKSPACE,
        project_id=PROJECT,
        webhook_id=WEBHOOK,
        created_at=created_at or _NEWEST - timedelta(seconds=position),
    )
    object_id = ObjectId(f"{0x65000000 + position:08x}0000000000000000")
    return event_document(event, object_id, AlertReference(str(object_id), f"alert-{position:012x}"))
