"""`event-service serve`: starts, refusals, restarts, stops."""

import json
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.refusals import assert_one_clear_line, refused_start
from tests.e2e.service import Service, free_port
from tests.waiting import wait_until

MakeService = Callable[..., Service]


def test_sigterm_exits_cleanly_and_events_survive(make_service: MakeService) -> None:
    service = make_service().start()
    webhook = service.create_webhook()
    service.create_event(webhook, {"event_key": "kept"})
    assert service.stop() == 0
    assert service.health() == ""
    service.start()
    assert service.call("Event", "list", {"webhook_id": webhook[0]})["total_count"] == 1
    service.create_event(webhook, {"event_key": "more"})
    assert service.log.count("is serving.") == 2
    assert service.stop() == 0


def test_sigint_during_start_exits_cleanly(make_service: MakeService) -> None:
    service = make_service()
    service.spawn()
    while not service.data_dir.exists():
        time.sleep(0.01)
    assert service.process is not None
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(30) == 0
    service.start()
    assert service.stop() == 0


def test_sigterm_ends_the_wait_for_a_database(make_service: MakeService) -> None:
    service = make_service(EVENT_SERVICE_MONGODB_URI=f"mongodb://127.0.0.1:{free_port()}")
    service.spawn()
    wait_until(lambda: "the database does not answer yet" in service.log, 30)
    assert service.process is not None
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(15) == 0  # it would have waited 30 s for the database


def test_the_first_webhook_is_made_once(make_service: MakeService) -> None:
    service = make_service().start()
    kept = service.data_dir / "first-webhook.json"
    while not kept.exists():
        time.sleep(0.05)
    first = json.loads(kept.read_text())
    service.stop()
    service.start()
    wait_until(lambda: service.log.count(f"The first webhook is {first['webhook_id']}") == 2, 30)
    assert first["access_key"] not in service.log
    assert json.loads(kept.read_text()) == first
    assert service.call("Webhook", "list", {})["total_count"] == 1
    assert service.stop() == 0


def test_a_data_directory_in_use_is_refused(make_service: MakeService, tmp_path: Path) -> None:
    service = make_service().start()
    done = refused_start(tmp_path, EVENT_SERVICE_DATA_DIR=str(service.data_dir))
    assert_one_clear_line(done, "use")
    assert service.health() == "SERVING"


def test_a_data_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    assert_one_clear_line(refused_start(tmp_path), str(tmp_path / "data"))


@pytest.mark.parametrize("name", ["EVENT_SERVICE_GRPC_ADDRESS", "EVENT_SERVICE_HTTP_ADDRESS"])
def test_a_port_that_is_taken_is_refused(name: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert_one_clear_line(refused_start(tmp_path, **{name: address}), address)


@pytest.mark.parametrize("name", ["EVENT_SERVICE_GRPC_ADDRESS", "EVENT_SERVICE_HTTP_ADDRESS"])
def test_listening_beyond_loopback_without_authentication_is_refused(name: str, tmp_path: Path) -> None:
    done = refused_start(tmp_path, **{name: f"0.0.0.0:{free_port()}"})
    assert_one_clear_line(done, "authentication is off")
    assert done.returncode == 2
    assert not (tmp_path / "data").exists()


def test_insecure_allows_listening_beyond_loopback(make_service: MakeService) -> None:
    service = make_service()
    service.grpc_address = f"0.0.0.0:{free_port()}"
    service.command = (*service.command, "--insecure")
    service.start()
    assert service.stop() == 0


@pytest.mark.parametrize("keys", [{}, {"EVENT_SERVICE_JWKS_FILE": "/nonexistent"}], ids=["unnamed", "missing"])
def test_authentication_without_keys_is_refused(keys: dict[str, str], tmp_path: Path) -> None:
    done = refused_start(tmp_path, EVENT_SERVICE_AUTH="jwt", **keys)
    assert_one_clear_line(done, "EVENT_SERVICE_JWKS_FILE")
    assert done.returncode == 2


def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    assert_one_clear_line(refused_start(tmp_path, EVENT_SERVICE_LIST_LIMIT="0"), "EVENT_SERVICE_LIST_LIMIT")
