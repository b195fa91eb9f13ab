"""Alert rate reports: stored after the minute, retried, and stored at the latest when the service stops."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from event_service.errors import Internal, NotFound, Unavailable
from event_service.events.alert_rate_limit import AlertRateLimit
from event_service.events.alert_rate_report import AlertRateReports
from event_service.events.write_request import CreateResult, IdempotencyRequest
from event_service.model.condition import ConditionKey
from event_service.model.event import EventDraft
from event_service.model.webhook import PluginInfo, Webhook

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Service:
    """Webhooks and events in one, and a clock."""

    def __init__(self) -> None:
        self.now = NOON
        self.away = False
        self.unreadable: Exception | None = None
        self.storing = asyncio.Event()
        self.answered = asyncio.Event()
        self.answered.set()
        self.stored: list[tuple[str, str]] = []

    async def find(self, webhook_id: str) -> Webhook:
        if webhook_id == "gone":
            raise NotFound("webhook_id", webhook_id)
        if webhook_id == "unreadable" and self.unreadable is not None:
            raise self.unreadable
        return Webhook(webhook_id, "hook", "d", "w", "p", PluginInfo("auto"), NOON)

    async def store(
        self,
        webhook: Webhook,
        drafts: Sequence[EventDraft],
        received_at: datetime,
        idempotency: IdempotencyRequest | None,
    ) -> CreateResult:
        if self.away:
            raise Unavailable
        assert idempotency is None
        self.stored += [(webhook.webhook_id, draft.title) for draft in drafts]
        self.storing.set()
        await self.answered.wait()
        return CreateResult(("event-1",))


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def alert_rate_limit() -> AlertRateLimit:
    return AlertRateLimit()


def reports(alert_rate_limit: AlertRateLimit, service: Service) -> AlertRateReports:
    return AlertRateReports(
        alert_rate_limit, webhooks=service, events=service, clock=lambda: service.now, interval=0.005
    )


def suppress(alert_rate_limit: AlertRateLimit, webhook_id: str = "webhook-1") -> None:
    for _ in range(2):
        alert_rate_limit.admits(ConditionKey(webhook_id, "d", "w", "p", "k"), NOON, 1)


REPORT = ("webhook-1", "1 event beyond 1 new alerts within a minute")


async def test_report_is_stored_after_the_minute(alert_rate_limit: AlertRateLimit, service: Service) -> None:
    reporting = reports(alert_rate_limit, service)
    reporting.start()
    suppress(alert_rate_limit)
    await asyncio.sleep(0.05)
    assert service.stored == []
    service.now += timedelta(minutes=1)
    await asyncio.sleep(0.05)
    assert service.stored == [REPORT]
    await reporting.close()
    assert service.stored == [REPORT]


async def test_report_is_retried_while_the_database_is_down(alert_rate_limit: AlertRateLimit, service: Service) -> None:
    service.away = True
    reporting = reports(alert_rate_limit, service)
    reporting.start()
    suppress(alert_rate_limit)
    service.now += timedelta(minutes=1)
    await asyncio.sleep(0.05)
    service.away = False
    await asyncio.sleep(0.05)
    assert service.stored == [REPORT]
    await reporting.close()


async def test_close_stores_all_reports(alert_rate_limit: AlertRateLimit, service: Service) -> None:
    suppress(alert_rate_limit, "gone")
    suppress(alert_rate_limit)
    reporting = reports(alert_rate_limit, service)
    await reporting.close()
    assert service.stored == [REPORT]


async def test_unstored_reports_are_logged_on_close(
    alert_rate_limit: AlertRateLimit, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.away = True
    suppress(alert_rate_limit)
    await reports(alert_rate_limit, service).close()
    assert "1 events of webhook-1" in caplog.text


async def test_report_in_flight_on_close_is_stored_once(alert_rate_limit: AlertRateLimit, service: Service) -> None:
    service.answered.clear()
    suppress(alert_rate_limit)
    service.now += timedelta(minutes=1)
    reporting = reports(alert_rate_limit, service)
    reporting.start()
    await service.storing.wait()
    closing = asyncio.create_task(reporting.close())
    await asyncio.sleep(0)
    service.answered.set()
    await closing
    assert service.stored == [REPORT]


@pytest.mark.parametrize("error", [Internal("encrypted under another key"), ValueError("no key")])
async def test_failing_report_does_not_block_others(
    alert_rate_limit: AlertRateLimit, service: Service, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    service.unreadable = error
    suppress(alert_rate_limit, "unreadable")
    suppress(alert_rate_limit)
    reporting = reports(alert_rate_limit, service)
    reporting.start()
    await reporting.close()
    assert service.stored == [REPORT]
    assert caplog.text.count("1 events of unreadable") == 1
    assert str(error) in caplog.text
