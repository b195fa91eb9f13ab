"""Who is told what became of deliveries: the metrics of the process, and the counters of their webhook."""

from collections.abc import Sequence
from typing import Protocol

from event_service.errors import EventServiceError
from event_service.events.write_request import CreateResult
from event_service.model.activity import Ending
from event_service.model.webhook import Webhook
from event_service.normalize import canonical_name
from event_service.telemetry.metrics import OTHER


class Metrics(Protocol):
    """What is needed of `telemetry/metrics.py`."""

    def events(self, *, stored: int = 0, duplicate: int = 0, unmatched: int = 0, unreadable: int = 0) -> None: ...
    def delivery(self, parser: str, outcome: str) -> None: ...


class Counters(Protocol):
    """What is needed of `webhooks/manager.py`."""

    def record(self, webhook_id: str, ending: Ending) -> None: ...


class OutcomeMetrics:
    """Keeps the books."""

    def __init__(self, metrics: Metrics, counters: Counters) -> None:
        self._metrics = metrics
        self._counters = counters

    def refused(self, webhook: Webhook, error: EventServiceError) -> None:
        """Nothing of an authentic delivery was stored. What is to be sent again is not the sender's fault."""
        self._metrics.delivery(parser_of(webhook), error.reason)
        if error.retry_after is None:
            self._counters.record(webhook.webhook_id, Ending(refused=1, error=error.message))

    def nothing(self, webhook: Webhook, parser: str, ignored: Sequence[str]) -> None:
        """The delivery makes no event."""
        self._metrics.delivery(parser, "nothing")
        self._counters.record(webhook.webhook_id, Ending(ignored=ignored))

    def stored(
        self, webhook: Webhook, parser: str, result: CreateResult, ignored: Sequence[str], faults: Sequence[str]
    ) -> None:
        """The delivery was stored, now or before.

        Args:
            parser: a built-in parser's name, or "other".
            ignored: what makes no event on purpose, each with its reason.
            faults: one for each event that stands for what could not be read.
        """
        count, unmatched, unreadable = len(result.event_ids), len(result.unmatched), len(faults)
        if result.duplicate:
            self._metrics.events(duplicate=count)
            self._metrics.delivery(parser, "duplicate")
            self._counters.record(webhook.webhook_id, Ending(duplicates=1))
            return
        self._metrics.events(stored=count - unreadable, unmatched=unmatched, unreadable=unreadable)
        self._metrics.delivery(parser, "unreadable" if unreadable else "stored" if count else "nothing")
        ending = Ending(
            stored=count,
            errors=unreadable,
            unmatched=unmatched,
            ignored=ignored,
            error=faults[0] if faults else "",
        )
        self._counters.record(webhook.webhook_id, ending)

    def drafts(self, webhook: Webhook, stored: int, duplicates: int, error: EventServiceError | None = None) -> None:
        """Events that were read elsewhere were stored, now or before.

        Args:
            error: what others of the same delivery failed with.
        """
        if stored or duplicates:
            self._metrics.events(stored=stored, duplicate=duplicates)
            self._counters.record(webhook.webhook_id, Ending(stored=stored, duplicates=duplicates))
        if error is not None:
            self.refused(webhook, error)
        else:
            self._metrics.delivery(parser_of(webhook), "stored" if stored else "duplicate")


def parser_of(webhook: Webhook) -> str:
    """The parser a webhook asks for, of which there are a few: names of remote plugins are not told apart."""
    return canonical_name(webhook.plugin.plugin_id) or OTHER
