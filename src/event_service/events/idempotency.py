"""Recognise creates that were sent before, by the idempotency records of earlier ones."""

from event_service.errors import AlreadyExists
from event_service.events.write_request import CreateResult, IdempotencyRequest
from event_service.store.idempotency_keys import IdempotencyRecord


def recall(asked: IdempotencyRequest, record: IdempotencyRecord) -> CreateResult | AlreadyExists:
    """Return the outcome of a create whose idempotency record exists."""
    if record.digest != asked.digest:
        return AlreadyExists(
            "The idempotency key was used with another payload. Send again what was sent, or choose a new key."
        )
    return CreateResult(record.stored, duplicate=True)


def record_of(asked: IdempotencyRequest, result: CreateResult) -> IdempotencyRecord:
    """Return the idempotency record of a create."""
    return IdempotencyRecord(asked.record_id, asked.digest, asked.expire_at, tuple(result.event_ids))
