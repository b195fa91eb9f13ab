"""Settings as the command line reads them: every fault named, no open door by accident."""

from pathlib import Path

import pytest

from event_service.cli.configuration import is_loopback, load_settings, refuse_open_door
from event_service.cli.failures import Failure


def test_every_faulty_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENT_SERVICE_LIST_LIMIT", "many")
    monkeypatch.setenv("EVENT_SERVICE_AUTH", "maybe")
    with pytest.raises(Failure) as caught:
        load_settings({})
    assert "EVENT_SERVICE_LIST_LIMIT" in caught.value.message
    assert "EVENT_SERVICE_AUTH" in caught.value.message
    assert caught.value.exit_code == 2


def test_the_command_line_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENT_SERVICE_GRPC_ADDRESS", "127.0.0.1:1")
    assert load_settings({"grpc_address": "127.0.0.1:2"}).grpc_address == "127.0.0.1:2"


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:50051", True),
        ("127.8.8.8:50051", True),
        ("[::1]:50051", True),
        ("localhost:0", True),
        ("0.0.0.0:50051", False),
        ("[::]:50051", False),
        (":50051", False),
        ("10.0.0.1:50051", False),
        ("localhost.example.org:50051", False),
    ],
)
def test_loopback(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


@pytest.mark.parametrize("open_one", ["grpc_address", "http_address"])
def test_no_address_beyond_loopback_without_authentication(open_one: str) -> None:
    with pytest.raises(Failure, match="authentication is off"):
        refuse_open_door(load_settings({open_one: "0.0.0.0:50051"}))


def test_with_authentication_any_address_will_do(tmp_path: Path) -> None:
    refuse_open_door(
        load_settings({"grpc_address": "0.0.0.0:50051", "auth": "jwt", "jwks_file": tmp_path / "jwks.json"})
    )
