"""What became of a webhook's deliveries, as a part of its document: `activity`, beside upstream's `requests`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from event_service.model.activity import Activity, DeliveryCounts
from event_service.store.client import Document

_SUMS = ("stored", "errors", "duplicates", "unmatched", "refused")


def activity_update(counts: DeliveryCounts) -> Document:
    """The update that adds a counts to what is stored, whoever else adds to it at the same time."""
    activity = counts.activity
    sums = {"requests.total": counts.calls, "requests.error": counts.faulty_calls}
    sums |= {f"activity.{name}": value for name in _SUMS if (value := getattr(activity, name))}
    sums |= {f"activity.ignored.{_name(reason)}": times for reason, times in activity.ignored.items()}
    update: Document = {"$inc": sums}
    if activity.last_received_at is not None:
        update["$max"] = {"activity.last_received_at": activity.last_received_at}
    if activity.last_error_at is not None:
        update["$set"] = {
            "activity.last_error_at": activity.last_error_at,
            "activity.last_error": activity.last_error,
        }
    return update


def activity_of(stored: Mapping[str, Any]) -> Activity:
    """The activity of a document; all zero where there is none, as in upstream's."""
    ignored = stored.get("ignored")
    return Activity(
        **{name: int(stored.get(name) or 0) for name in _SUMS},
        ignored={reason: int(times) for reason, times in ignored.items()} if isinstance(ignored, Mapping) else {},
        last_received_at=_moment(stored.get("last_received_at")),
        last_error_at=_moment(stored.get("last_error_at")),
        last_error=str(stored.get("last_error") or ""),
    )


def _name(reason: str) -> str:
    """The reason as the name of a field. Parsers have a fixed set of them, without such characters."""
    return reason.replace(".", " ").replace("$", " ").replace("\0", " ")[:100] or " "


def _moment(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None
