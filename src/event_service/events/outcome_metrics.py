"""Count the outcomes of deliveries: in the metrics of the process and in the statistics of their webhook."""

from event_service.errors import EventServiceError
from event_service.events.ports import Webhooks
from event_service.events.write_request import CreateResult
from event_service.model.activity import DeliveryOutcome
from event_service.model.webhook import Webhook
from event_service.normalize import canonical_name
from event_service.telemetry.metrics import OTHER, Metrics


class OutcomeMetrics:
    """The counters of deliveries and events."""

    def __init__(self, metrics: Metrics, webhooks: Webhooks) -> None:
        self._metrics = metrics
        self._webhooks = webhooks

    def refused(self, webhook: Webhook, error: EventServiceError) -> None:
        """Count an authenticated delivery of which nothing was stored."""
        self._metrics.delivery(parser_of(webhook), error.reason)
        # A retryable error is the service's fault: the webhook's statistics show the sender's.
        if error.retry_after is None:
            self._webhooks.record(webhook.webhook_id, DeliveryOutcome(refused=1, error=error.message))

    def stored(self, webhook: Webhook, result: CreateResult, errors: int = 0) -> None:
        """Count a delivery that was stored, now or before, or that makes no event.

        Args:
            errors: how many of its events are ERROR events of unreadable members.
        """
        count, unmatched, parser = len(result.event_ids), len(result.unmatched), result.parser or parser_of(webhook)
        if result.duplicate:
            self._metrics.events(duplicate=count)
            self._metrics.delivery(parser, "duplicate")
            self._webhooks.record(webhook.webhook_id, DeliveryOutcome(duplicates=1))
            return
        if count or unmatched:
            self._metrics.events(stored=count - errors, unmatched=unmatched, unreadable=errors)
        self._metrics.delivery(parser, "unreadable" if errors else "stored" if count else "nothing")
        ending = DeliveryOutcome(
            stored=count,
            errors=errors,
            unmatched=unmatched,
            ignored=result.ignored,
            error=result.faults[0] if errors else "",
        )
        self._webhooks.record(webhook.webhook_id, ending)

    def drafts(self, webhook: Webhook, stored: int, duplicates: int, error: EventServiceError | None = None) -> None:
        """Count events that were parsed elsewhere and stored, now or before.

        Args:
            error: the error of others in the same delivery.
        """
        if stored or duplicates:
            self._metrics.events(stored=stored, duplicate=duplicates)
            self._webhooks.record(webhook.webhook_id, DeliveryOutcome(stored=stored, duplicates=duplicates))
        if error is not None:
            self.refused(webhook, error)
        else:
            self._metrics.delivery(parser_of(webhook), "stored" if stored else "duplicate")


def parser_of(webhook: Webhook) -> str:
    """Return the built-in parser of a webhook, or "other" for all remote plugins: labels must stay few."""
    return canonical_name(webhook.plugin.plugin_id) or OTHER
