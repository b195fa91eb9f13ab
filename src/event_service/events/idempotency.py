"""Recognise creates that were sent before, by the idempotency records of earlier ones."""

from event_service.errors import AlreadyExists
from event_service.events.write_request import CreateResult, IdempotencyRequest
from event_service.store.idempotency_keys import IdempotencyRecord


def recall(asked: IdempotencyRequest, record: IdempotencyRecord | None) -> CreateResult | AlreadyExists | None:
    """Return the outcome of a create if its idempotency record decides it, else None."""
    if record is None:
        return None
    if record.digest != asked.digest:
        return AlreadyExists(
            "The idempotency key was used with another payload. Send again what was sent, or choose a new key."
        )
    return CreateResult(record.stored, duplicate=True) if record.done is None else None
