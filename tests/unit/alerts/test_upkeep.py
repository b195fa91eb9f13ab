"""Numbers of open alerts, as metrics show them."""

from datetime import UTC, datetime, timedelta

from event_service.alerts.upkeep import MOST_WEBHOOKS, OTHER, bounded, oldest
from event_service.store.open_alerts import OpenCount
from event_service.telemetry.metrics import Metrics

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_webhooks_with_few_open_alerts_are_shown_together() -> None:
    counts = [OpenCount("ERROR", f"webhook-{number}", number + 1, NOON) for number in range(MOST_WEBHOOKS + 2)]
    counts += [OpenCount("INFO", "webhook-0", 1, None), OpenCount("INFO", "", 7, None)]
    shown = bounded(counts)
    assert shown["ERROR", OTHER] == 1 + 2 + 3
    assert shown["INFO", OTHER] == 1 + 7
    assert len(shown) == MOST_WEBHOOKS - 1 + 2
    assert sum(shown.values()) == sum(one.number for one in counts)


def test_age_of_the_oldest_alert() -> None:
    times = [NOON, NOON - timedelta(hours=1), None]
    counts = [OpenCount("ERROR", f"webhook-{number}", 1, at) for number, at in enumerate(times)]
    assert oldest(counts, NOON + timedelta(hours=1)) == {"ERROR": 7200.0}


def test_metrics_of_alerts() -> None:
    metrics = Metrics("1")
    metrics.open_alerts({("ERROR", "webhook-1"): 2, ("INFO", OTHER): 1}, {"ERROR": 60.0})
    metrics.open_alerts({("ERROR", "webhook-1"): 3}, {"ERROR": 90.0})
    metrics.alert_resolved("MANUAL", 600.0)
    text = metrics.exposition()[0].decode()
    assert 'event_service_open_alerts{severity="ERROR",webhook="webhook-1"} 3.0' in text
    assert "INFO" not in text
    assert 'event_service_oldest_open_alert_seconds{severity="ERROR"} 90.0' in text
    assert 'event_service_alert_seconds_sum{reason="MANUAL"} 600.0' in text
