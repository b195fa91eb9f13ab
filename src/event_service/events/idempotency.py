"""Idempotency: which creates of a batch were sent before, and what is remembered of the others.

A claim names the `_id`s its events will have before they are written, and is complete once it says which were
stored. Whoever finds an incomplete one goes on where the first attempt stopped.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from event_service.concurrency.group_commit import RETRY
from event_service.errors import AlreadyExists
from event_service.events.write_request import CreateResult, Outcome, WriteRequest
from event_service.store.idempotency_keys import IdempotencyRecord


class Claims(Protocol):
    """What a commit needs of `store/idempotency_keys.py`."""

    def find(self, record_ids: Iterable[str]) -> dict[str, IdempotencyRecord]: ...
    def forget(self, record_ids: Iterable[str], before: datetime) -> None: ...
    def add(self, claims: Sequence[IdempotencyRecord]) -> list[bool]: ...
    def complete(self, stored: Sequence[tuple[str, Sequence[str]]]) -> None: ...


class Events(Protocol):
    """What claiming needs of `store/event_writer.py`."""

    def existing(self, object_ids: Iterable[str]) -> set[str]: ...


class Idempotency:
    """The first and the last step of a commit. Called in the writer's thread."""

    def __init__(self, claims: Claims, events: Events) -> None:
        self._claims = claims
        self._events = events

    def settle(self, batch: Sequence[WriteRequest]) -> list[Outcome | None]:
        """For each item its outcome if its idempotency key already decides it, else None."""
        outcomes: list[Outcome | None] = [None] * len(batch)
        claiming = [(index, item) for index, item in enumerate(batch) if item.claim and not item.claimed]
        if not claiming:
            return outcomes
        known = self._unexpired(claiming)
        new: list[tuple[int, WriteRequest, IdempotencyRecord]] = []
        adopted: list[tuple[WriteRequest, IdempotencyRecord]] = []
        taken: set[str] = set()
        for index, item in claiming:
            request = item.claim
            if request is None:
                continue
            claim = known.get(request.record_id)
            if request.record_id in taken:
                outcomes[index] = RETRY
            elif claim is None:
                planned = tuple((entry.object_id, entry.built.event.event_id) for entry in item.entries)
                new.append(
                    (index, item, IdempotencyRecord(request.record_id, request.digest, planned, request.expire_at))
                )
            elif claim.digest != request.digest:
                outcomes[index] = AlreadyExists(
                    "The idempotency key was used with another payload. Send again what was sent, or choose a new key."
                )
            elif claim.stored is not None:
                outcomes[index] = CreateResult(claim.stored, duplicate=True)
            else:
                adopted.append((item, claim))
            taken.add(request.record_id)
        self._take_over(adopted)
        for (index, item, _), added in zip(new, self._claims.add([claim for _, _, claim in new]), strict=True):
            item.claimed = added
            if not added:
                outcomes[index] = RETRY
        return outcomes

    def _unexpired(self, claiming: Sequence[tuple[int, WriteRequest]]) -> dict[str, IdempotencyRecord]:
        """The claims that were made before under the keys of these items."""
        wanted = {item.claim.record_id for _, item in claiming if item.claim}
        # A delivery without events has no time of receipt; it can wait for the database to remove what has expired.
        times = (entry.built.event.created_at for _, item in claiming for entry in item.entries)
        now = max(times, default=datetime.min.replace(tzinfo=UTC))
        known = self._claims.find(wanted)
        expired = [record_id for record_id, claim in known.items() if claim.expire_at <= now]
        if expired:
            self._claims.forget(expired, now)
        return {record_id: claim for record_id, claim in known.items() if claim.expire_at > now}

    def _take_over(self, adopted: Sequence[tuple[WriteRequest, IdempotencyRecord]]) -> None:
        """Goes on where earlier attempts under the same keys stopped, or are still going on elsewhere."""
        for item, claim in adopted:
            for entry, (object_id, event_id) in zip(item.entries, claim.planned, strict=False):
                entry.object_id = object_id
                if entry.built.event.event_id != event_id:
                    entry.rename(event_id)
            item.claimed = item.adopted = True
        there = self._existing(item for item, _ in adopted)
        for item, _ in adopted:
            for entry in item.entries:
                if entry.object_id in there:
                    entry.stored = entry.was_stored = True

    def complete(self, items: Iterable[WriteRequest]) -> None:
        """Notes for finished items what was stored under their keys."""
        claimed = [(item, item.claim) for item in items if item.claim is not None]
        adopted = [item for item, _ in claimed if item.adopted]
        # Another replica may have worked on the same claims meanwhile and stored what was decided differently here.
        there = self._existing(adopted)
        for item in adopted:
            for entry in item.entries:
                entry.stored = entry.object_id in there
        self._claims.complete(
            [
                (claim.record_id, tuple(entry.built.event.event_id for entry in item.entries if entry.stored))
                for item, claim in claimed
            ]
        )

    def _existing(self, items: Iterable[WriteRequest]) -> set[str]:
        """Which events of these items are stored, asked at once."""
        return self._events.existing([entry.object_id for item in items for entry in item.entries])
