"""A backup beside a service at work, restored, and everything sent again: no event twice, and alerts agree."""

import threading
import uuid
from pathlib import Path

from event_service.settings import Settings
from event_service.store.client import close, connect
from event_service.store.maintenance.alert_states import Disagreements, find
from event_service.store.maintenance.archive import ArchiveReader
from event_service.store.maintenance.backup import back_up, restore
from tests.chaos.conftest import MakeService
from tests.chaos.scale import scaled
from tests.e2e.service import Service
from tests.waiting import wait_until

EVENTS_BEFORE, SENDERS = scaled(40, 400), 4

Sent = list[tuple[dict[str, str], str]]
"""Payloads with their idempotency keys."""


def send(service: Service, webhook: tuple[str, str], sent: Sent, ending: threading.Event) -> None:
    while not ending.is_set():
        name = uuid.uuid4().hex
        for event_type in ("ALERT", "RECOVERY"):
            sent.append(({"event_key": name, "event_type": event_type}, uuid.uuid4().hex))
            service.create_event(webhook, sent[-1][0], idempotency_key=sent[-1][1])


def wait_until_more(sent: list[Sent]) -> None:
    before = sum(map(len, sent))
    wait_until(lambda: sum(map(len, sent)) > before + SENDERS)


def test_restored_backup_takes_everything_sent_again_once(
    make_service: MakeService, database_uri: str, database_name: str, tmp_path: Path
) -> None:
    service = make_service(database_uri).start()
    webhook = service.create_webhook()
    sent: list[Sent] = [[] for _ in range(SENDERS)]
    ending = threading.Event()
    threads = [threading.Thread(target=send, args=[service, webhook, one, ending]) for one in sent]
    for thread in threads:
        thread.start()
    wait_until(lambda: sum(map(len, sent)) > EVENTS_BEFORE)
    database = connect(Settings(database=database_name), database_uri)
    copy = connect(Settings(database=f"{database_name}_restored"), database_uri)
    with (tmp_path / "backup.zip").open("wb") as target:
        # Senders go on between any two collections.
        back_up(
            database,
            target,
            "1",
            lambda *_: wait_until_more(sent),
        )
    ending.set()
    for thread in threads:
        thread.join()
    with ArchiveReader(tmp_path / "backup.zip") as archive:
        restore(copy, archive)
    assert find(copy, 5000) == Disagreements()

    restored = make_service(database_uri)
    restored.settings = {**restored.settings, "EVENT_SERVICE_DATABASE": copy.name}
    restored.start()
    for payload, key in (each for one in sent for each in one):
        restored.create_event(webhook, payload, idempotency_key=key)
    for one in sent:
        for payload, _ in one:
            assert copy["event"].count_documents(payload) == 1
    assert find(copy, 5000) == Disagreements()
    assert copy["condition"].count_documents({"open": True}) == 0
    close(database)
    close(copy)
