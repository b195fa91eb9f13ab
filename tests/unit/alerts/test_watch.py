"""Alerts.Watch: each change once, and resumed from a token."""

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from event_service._gen.spaceone.api.monitoring.v1 import alert_pb2
from event_service.alerts.manager import AlertManager
from event_service.alerts.watch import AlertWatcher
from event_service.errors import InvalidArgument
from event_service.events import watch as watch_module
from event_service.model.scope import Scope
from event_service.store.alert_reader import AlertPage
from event_service.wire.timestamps import format_timestamp, parse_timestamp

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class FakeAlerts:
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def put(self, alert_id: str, at: datetime, **fields: Any) -> None:
        row = self.rows.setdefault(alert_id, {"alert_id": alert_id, "state": "TRIGGERED", "created_at": at})
        row.update(fields, updated_at=at)

    async def list(self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, Any]) -> AlertPage:
        since = parse_timestamp(query["filter"][-1]["v"])
        found = sorted((row["updated_at"], row["alert_id"]) for row in self.rows.values() if row["updated_at"] >= since)
        start, limit = query["page"]["start"] - 1, query["page"]["limit"]
        return AlertPage([dict(self.rows[alert_id]) for _, alert_id in found[start : start + limit]])


async def poll(alerts: FakeAlerts, steps: list[Any], token: str = "", clock: Any = lambda: START) -> list[str]:
    """Return `alert_id KIND` of what is sent; after each poll run the next step."""
    watcher = AlertWatcher(cast("AlertManager", alerts), poll_seconds=0, clock=clock)
    told: list[str] = []
    left = [*steps, None]
    async with aclosing(watcher.watch(Scope("domain"), {}, {}, token)) as batches:
        async for batch in batches:
            told += [f"{alert_pb2.AlertInfo.FromString(one.wire).alert_id} {one.kind}" for one in batch.alerts]
            if not batch.alerts:
                step = left.pop(0)
                if step is None:
                    return told
                step()
    raise AssertionError("it ended")


async def test_an_alert_is_opened_changed_and_resolved() -> None:
    alerts = FakeAlerts()
    second = timedelta(seconds=1)
    steps = [
        lambda: alerts.put("a", START),
        lambda: None,
        lambda: alerts.put("a", START + second, severity="CRITICAL"),
        lambda: alerts.put("a", START + 2 * second, state="RESOLVED"),
        lambda: alerts.put("a", START + 3 * second, state="TRIGGERED"),
    ]
    assert await poll(alerts, steps) == ["a OPENED", "a CHANGED", "a RESOLVED", "a CHANGED"]


async def test_two_changes_within_a_millisecond_are_both_sent() -> None:
    alerts = FakeAlerts()
    steps = [lambda: alerts.put("a", START), lambda: alerts.put("a", START, assignee="kim")]
    assert await poll(alerts, steps) == ["a OPENED", "a CHANGED"]


async def test_resumed_watch_repeats_what_came_after_the_token() -> None:
    alerts = FakeAlerts()
    hour = timedelta(hours=1)
    alerts.put("old", START - hour)
    alerts.put("changed", START - hour)
    alerts.put("changed", START + hour, severity="ERROR")
    alerts.put("new", START + hour)
    told = await poll(alerts, [], format_timestamp(START), clock=lambda: START + 2 * hour)
    assert told == ["changed CHANGED", "new OPENED"]


async def test_more_changes_than_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("event_service.alerts.watch.PAGE", 7)
    alerts = FakeAlerts()
    for number in range(50):
        alerts.put(f"alert-{number:02}", START + timedelta(milliseconds=number // 20))
    assert await poll(alerts, []) == [f"alert-{number:02} OPENED" for number in range(50)]


async def test_query_may_hold_conditions_only() -> None:
    watcher = AlertWatcher(cast("AlertManager", FakeAlerts()))
    assert "sort" not in watch_module.CONDITIONS
    with pytest.raises(InvalidArgument):
        async with aclosing(watcher.watch(Scope("domain"), {"sort": []}, {})) as batches:
            await anext(batches)
