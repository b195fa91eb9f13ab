"""Stream changes of alerts for `Alerts.Watch`: polls by `updated_at`, as `events/watch.py` polls by `created_at`."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, NamedTuple

from event_service.alerts.manager import AlertManager
from event_service.events.watch import BATCH_ROWS, PAGE, OpenChangeStream, PollingWatcher
from event_service.model.condition import AlertState
from event_service.model.scope import Scope
from event_service.wire.alert_info import encode_alert_info
from event_service.wire.timestamps import format_timestamp


class ChangeKind(StrEnum):
    OPENED = "OPENED"
    CHANGED = "CHANGED"
    RESOLVED = "RESOLVED"


class ChangedAlert(NamedTuple):
    """An alert after a change.

    Attributes:
        wire: the serialised AlertInfo.
    """

    wire: bytes
    kind: ChangeKind


class AlertBatch(NamedTuple):
    """Changed alerts.

    Attributes:
        alerts: in the order of their updated_at; empty if only the token is new.
        token: resume token. Resuming misses no change, but repeats up to `OVERLAP_SECONDS` of changes.
    """

    alerts: Sequence[ChangedAlert]
    token: str


class _Sent(NamedTuple):
    updated_at: datetime
    digest: bytes


class AlertWatcher(PollingWatcher[AlertBatch]):
    """The watchers of `Alerts.Watch` and the console. See `PollingWatcher` for the options."""

    def __init__(self, alerts: AlertManager, open_stream: OpenChangeStream | None = None, **options: Any) -> None:
        super().__init__(open_stream, **options)
        self._alerts = alerts

    async def _poll(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, Any], start: datetime, _late: deque[str]
    ) -> AsyncGenerator[AlertBatch, None]:
        sent: dict[str, _Sent] = {}
        while True:
            changed = self._changed
            overlap_from = self._overlap_from()
            async for page in self._pages(scope, query, equals, start):
                new: list[tuple[datetime, ChangedAlert]] = []
                for row in page:
                    wire = encode_alert_info(row)
                    now = _Sent(row["updated_at"], blake2b(wire, digest_size=16).digest())
                    before = sent.get(row["alert_id"])
                    if before == now:
                        continue
                    sent[row["alert_id"]] = now
                    # Every alert that was there at the last poll was opened before `start`, or has been sent.
                    is_new = before is None and row.get("created_at", start) >= start
                    new.append((row["updated_at"], ChangedAlert(wire, _kind(row.get("state"), is_new))))
                for position in range(0, len(new), BATCH_ROWS):
                    some = new[position : position + BATCH_ROWS]
                    until = max(start, min(some[-1][0], overlap_from))
                    yield AlertBatch([alert for _, alert in some], format_timestamp(until))
            start = max(start, overlap_from)
            sent = {alert_id: last for alert_id, last in sent.items() if last.updated_at >= start}
            yield AlertBatch((), format_timestamp(start))
            await self._pause(changed)

    async def _pages(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, Any], start: datetime
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield pages of all that matches and has changed from `start` on, the earliest change first."""
        skip = 0
        while True:
            since = {"k": "updated_at", "v": format_timestamp(start), "o": "datetime_gte"}
            asked = {
                **query,
                "filter": [*query.get("filter", ()), since],
                "sort": [{"key": "updated_at"}],
                "page": {"start": skip + 1, "limit": PAGE},
            }
            rows = (await self._alerts.list(scope, asked, equals)).rows
            yield rows
            if len(rows) < PAGE:
                return
            last = rows[-1]["updated_at"]
            start, skip = (last, 0) if last > start else (start, skip + PAGE)


def _kind(state: Any, is_new: bool) -> ChangeKind:
    if state == AlertState.RESOLVED:
        return ChangeKind.RESOLVED
    return ChangeKind.OPENED if is_new else ChangeKind.CHANGED
