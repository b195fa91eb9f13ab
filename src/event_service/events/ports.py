"""The parts of peer packages and upper layers that this package must not import."""

from typing import Protocol

from event_service.model.activity import DeliveryOutcome
from event_service.model.scope import Scope
from event_service.model.webhook import Webhook


class Webhooks(Protocol):
    """The webhooks of `webhooks/manager.py`."""

    async def authenticate(self, webhook_id: str, access_key: str) -> Webhook: ...
    async def find(self, webhook_id: str) -> Webhook: ...
    async def get_decrypted(self, scope: Scope, webhook_id: str) -> Webhook: ...
    def count(self, webhook_id: str, *, error: bool) -> None: ...
    def record(self, webhook_id: str, ending: DeliveryOutcome) -> None: ...


class RateLimit(Protocol):
    """The rate limit of `webhooks/rate_limit.py`."""

    def check(self, webhook_id: str) -> None: ...
    def consume(self, webhook_id: str, events: int) -> None: ...
