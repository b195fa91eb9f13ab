"""AlertRateLimit are told when their minute is over, sooner or later, and at the latest when the service stops."""

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
        self, webhook: Webhook, drafts: Sequence[EventDraft], received_at: datetime, claim: IdempotencyRequest | None
    ) -> CreateResult:
        if self.away:
            raise Unavailable
        assert claim is None
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


def fold(alert_rate_limit: AlertRateLimit, webhook_id: str = "webhook-1") -> None:
    for _ in range(2):
        alert_rate_limit.admits(ConditionKey(webhook_id, "d", "w", "p", "k"), NOON, 1)


TOLD = ("webhook-1", "1 event beyond 1 new alerts within a minute")


async def test_told_when_the_minute_is_over(alert_rate_limit: AlertRateLimit, service: Service) -> None:
    telling = reports(alert_rate_limit, service)
    telling.start()
    fold(alert_rate_limit)
    await asyncio.sleep(0.05)
    assert service.stored == []
    service.now += timedelta(minutes=1)
    await asyncio.sleep(0.05)
    assert service.stored == [TOLD]
    await telling.close()
    assert service.stored == [TOLD]


async def test_told_later_where_the_database_is_away(alert_rate_limit: AlertRateLimit, service: Service) -> None:
    service.away = True
    telling = reports(alert_rate_limit, service)
    telling.start()
    fold(alert_rate_limit)
    service.now += timedelta(minutes=1)
    await asyncio.sleep(0.05)
    service.away = False
    await asyncio.sleep(0.05)
    assert service.stored == [TOLD]
    await telling.close()


async def test_told_at_the_end(alert_rate_limit: AlertRateLimit, service: Service) -> None:
    fold(alert_rate_limit, "gone")
    fold(alert_rate_limit)
    telling = reports(alert_rate_limit, service)
    await telling.close()
    assert service.stored == [TOLD]


async def test_what_cannot_be_told_is_said(
    alert_rate_limit: AlertRateLimit, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.away = True
    fold(alert_rate_limit)
    await reports(alert_rate_limit, service).close()
    assert "1 events of webhook-1" in caplog.text


async def test_a_report_that_is_being_stored_when_the_service_stops_is_stored_once(
    alert_rate_limit: AlertRateLimit, service: Service
) -> None:
    service.answered.clear()
    fold(alert_rate_limit)
    service.now += timedelta(minutes=1)
    telling = reports(alert_rate_limit, service)
    telling.start()
    await service.storing.wait()
    closing = asyncio.create_task(telling.close())
    await asyncio.sleep(0)
    service.answered.set()
    await closing
    assert service.stored == [TOLD]


@pytest.mark.parametrize("error", [Internal("encrypted under another key"), ValueError("no key")])
async def test_what_never_can_be_told_keeps_nothing_from_being_told(
    alert_rate_limit: AlertRateLimit, service: Service, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    service.unreadable = error
    fold(alert_rate_limit, "unreadable")
    fold(alert_rate_limit)
    telling = reports(alert_rate_limit, service)
    telling.start()
    await telling.close()
    assert service.stored == [TOLD]
    assert caplog.text.count("1 events of unreadable") == 1
    assert str(error) in caplog.text
