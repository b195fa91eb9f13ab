"""event_service.v1.Alerts: decodes requests, runs count and watch, encodes replies."""

from contextlib import aclosing
from datetime import datetime

from event_service._gen.event_service.v1 import alerts_pb2
from event_service.alerts.manager import AlertManager
from event_service.alerts.watch import AlertWatcher
from event_service.concurrency.thread_pool import RunInThread
from event_service.identity.authorization import scope_of
from event_service.rpc.alert_servicer import alert_query
from event_service.rpc.context import RpcContext
from event_service.rpc.events_servicer import QUIET_POLLS
from event_service.rpc.methods import decode
from event_service.rpc.query_decode import decode_query
from event_service.store.alert_reader import AlertEvents
from event_service.wire.timestamps import Clock, format_timestamp, utc_now
from event_service.wire.varint import Prefixes

DESCRIPTOR = alerts_pb2.DESCRIPTOR.services_by_name["Alerts"]

_ALERT = Prefixes(alerts_pb2.AlertsWatchResponse.ALERT_FIELD_NUMBER << 3 | 2)


class AlertsServicer:
    """The methods: serialised request -> serialised reply; fail by raising EventServiceErrors."""

    def __init__(
        self,
        manager: AlertManager,
        watcher: AlertWatcher,
        run_in_thread: RunInThread | None = None,
        *,
        clock: Clock = utc_now,
    ) -> None:
        self._manager = manager
        self._watcher = watcher
        self._run_in_thread = run_in_thread
        self._clock = clock

    async def count(self, request: bytes, context: RpcContext) -> bytes:
        """AlertsCountRequest -> AlertsCountResponse."""
        scope = scope_of(context.caller, "Alert", "read")
        alert_ids = list(dict.fromkeys(decode(alerts_pb2.AlertsCountRequest, request).alert_ids))
        found = await self._manager.events(scope, alert_ids)
        now = self._clock()
        return alerts_pb2.AlertsCountResponse(
            results=[_message(alert_id, found[alert_id], now) for alert_id in alert_ids if alert_id in found]
        ).SerializeToString()

    async def watch(self, request: bytes, context: RpcContext) -> bytes:
        """AlertsWatchRequest -> stream of AlertsWatchResponses, which ends only by an error or a cancellation."""
        scope = scope_of(context.caller, "Alert", "read")
        fields = await decode_query(alerts_pb2.AlertsWatchRequest, request, self._run_in_thread)
        equals = alert_query(fields.get("query", {}))
        scope_of(context.caller, "Alert", "read", equals.get("project_id", ""))
        query = equals.pop("query", {})
        replies, quiet = context.response_stream, 0
        async with aclosing(self._watcher.watch(scope, query, equals, fields.get("resume_token", ""))) as batches:
            async for batch in batches:
                replies.check()
                token = alerts_pb2.AlertsWatchResponse(resume_token=batch.token).SerializeToString()
                # Only the last one carries the token: resuming earlier must repeat the rest of the batch.
                for position, alert in enumerate(batch.alerts, 1):
                    kind = alerts_pb2.AlertChange.Value(f"ALERT_CHANGE_{alert.kind}")
                    reply = _ALERT[len(alert.wire)] + alert.wire
                    reply += alerts_pb2.AlertsWatchResponse(change=kind).SerializeToString()
                    await replies.send(reply + token if position == len(batch.alerts) else reply)
                quiet = 0 if batch.alerts else quiet + 1
                if quiet % QUIET_POLLS == 1:
                    await replies.send(token)
        return b""


def _message(alert_id: str, events: AlertEvents, now: datetime) -> alerts_pb2.AlertEvents:
    duration = (events.resolved_at or now) - events.opened_at if events.opened_at else None
    return alerts_pb2.AlertEvents(
        alert_id=alert_id,
        event_count=events.number,
        first_event_at=_time(events.first_at),
        last_event_at=_time(events.last_at),
        duration_seconds=max(duration.total_seconds(), 0.0) if duration else 0.0,
        resolved_by=events.resolved_by,
    )


def _time(moment: datetime | None) -> str:
    return format_timestamp(moment) if moment else ""
