"""Recognise the creates of a batch that were sent before, and record the others.

A record names the `_id`s of its events before they are written, and is complete once it says which were stored. A
create that finds an incomplete record resumes where the earlier attempt stopped.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from event_service.concurrency.group_commit import RETRY, Retry
from event_service.errors import AlreadyExists
from event_service.events.write_request import CreateResult, WriteRequest
from event_service.store.event_writer import EventWriter
from event_service.store.idempotency_keys import IdempotencyRecord, IdempotencyStore


class Idempotency:
    """The first and the last step of a commit. Called in the writer thread."""

    def __init__(self, records: IdempotencyStore, events: EventWriter) -> None:
        self._records = records
        self._events = events

    def begin(self, batch: Sequence[WriteRequest]) -> list[CreateResult | AlreadyExists | Retry | None]:
        """Record the creates of a batch.

        Returns:
            For each create its outcome if its idempotency record decides it, else None.
        """
        outcomes: list[CreateResult | AlreadyExists | Retry | None] = [None] * len(batch)
        keyed = [(index, one) for index, one in enumerate(batch) if one.idempotency and not one.recorded]
        if not keyed:
            return outcomes
        known = self._unexpired([request for _, request in keyed])
        new: list[tuple[int, WriteRequest, IdempotencyRecord]] = []
        incomplete: list[tuple[WriteRequest, IdempotencyRecord]] = []
        seen: set[str] = set()
        for index, request in keyed:
            asked = request.idempotency
            if asked is None:
                continue
            record = known.get(asked.record_id)
            if asked.record_id in seen:
                outcomes[index] = RETRY  # the next batch finds the record of the first one
            elif record is None:
                planned = tuple((entry.object_id, entry.built.event.event_id) for entry in request.entries)
                new.append((index, request, IdempotencyRecord(asked.record_id, asked.digest, planned, asked.expire_at)))
            elif record.digest != asked.digest:
                outcomes[index] = AlreadyExists(
                    "The idempotency key was used with another payload. Send again what was sent, or choose a new key."
                )
            elif record.stored is not None:
                outcomes[index] = CreateResult(record.stored, duplicate=True)
            else:
                incomplete.append((request, record))
            seen.add(asked.record_id)
        self._resume(incomplete)
        for (index, request, _), added in zip(new, self._records.add([record for _, _, record in new]), strict=True):
            request.recorded = added
            if not added:  # another replica has recorded it meanwhile
                outcomes[index] = RETRY
        return outcomes

    def _unexpired(self, requests: Sequence[WriteRequest]) -> dict[str, IdempotencyRecord]:
        """Return the stored records of these creates by id, and remove those that have expired."""
        wanted = {request.idempotency.record_id for request in requests if request.idempotency}
        # A create without events has no time of receipt; the database's TTL removes its expired record.
        times = (entry.built.event.created_at for request in requests for entry in request.entries)
        now = max(times, default=datetime.min.replace(tzinfo=UTC))
        known = self._records.find(wanted)
        expired = [record_id for record_id, record in known.items() if record.expire_at <= now]
        if expired:
            self._records.forget(expired, now)
        return {record_id: record for record_id, record in known.items() if record.expire_at > now}

    def _resume(self, incomplete: Sequence[tuple[WriteRequest, IdempotencyRecord]]) -> None:
        """Continue earlier attempts, which stopped or are still running on another replica."""
        for request, record in incomplete:
            # The same ids again, so that an event which was stored is found and not stored twice.
            for entry, (object_id, event_id) in zip(request.entries, record.planned, strict=False):
                entry.object_id = object_id
                if entry.built.event.event_id != event_id:
                    entry.rename(event_id)
            request.recorded = request.resumed = True
        existing = self._existing(request for request, _ in incomplete)
        for request, _ in incomplete:
            for entry in request.entries:
                if entry.object_id in existing:
                    entry.stored = entry.was_stored = True

    def complete(self, requests: Iterable[WriteRequest]) -> None:
        """Save in the records of finished creates which events were stored."""
        keyed = [(request, request.idempotency) for request in requests if request.idempotency is not None]
        resumed = [request for request, _ in keyed if request.resumed]
        # Another replica may have resumed the same records meanwhile, and decided otherwise.
        existing = self._existing(resumed)
        for request in resumed:
            for entry in request.entries:
                entry.stored = entry.object_id in existing
        self._records.complete(
            [
                (record.record_id, tuple(entry.built.event.event_id for entry in request.entries if entry.stored))
                for request, record in keyed
            ]
        )

    def _existing(self, requests: Iterable[WriteRequest]) -> set[str]:
        return self._events.existing([entry.object_id for request in requests for entry in request.entries])
