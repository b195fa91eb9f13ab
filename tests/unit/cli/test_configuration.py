"""Settings of the command line: all faults are named, unauthenticated listening is refused."""

from pathlib import Path

import pytest

from event_service.cli.configuration import ineffective_settings, load_settings, refuse_open_access
from event_service.cli.failures import Failure
from event_service.settings import is_loopback


def test_every_faulty_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENT_SERVICE_LIST_LIMIT", "many")
    monkeypatch.setenv("EVENT_SERVICE_AUTH", "maybe")
    with pytest.raises(Failure) as caught:
        load_settings({})
    assert "EVENT_SERVICE_LIST_LIMIT" in caught.value.message
    assert "EVENT_SERVICE_AUTH" in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PLUGIN_ENDPOINTS", "nonsense", 'must be a JSON object, such as {"my-plugin": "grpc://plugins:50051"}'),
        ("PLUGIN_ENDPOINTS", "[]", "must be a JSON object"),
        ("PLUGIN_ENDPOINTS", '{"a": 1}', "a must be grpc://HOST:PORT"),
        ("PLUGIN_ENDPOINTS", '{"a": "http://x"}', "a must be grpc://HOST:PORT"),
        ("PLUGIN_ENDPOINTS", '{"a": "grpc://x"}', "a must be grpc://HOST:PORT"),
        ("PLUGIN_ENDPOINTS", '{"a": "grpc://x:99999"}', "a must be grpc://HOST:PORT"),
        ("DATABASE", "a/b.c d", "must have 1 to 63 bytes, without"),
        ("DATABASE", "", "must have 1 to 63 bytes"),
        ("DATABASE", "é" * 32, "must have 1 to 63 bytes"),
        ("GRPC_ADDRESS", "127.0.0.1:99999", "must be HOST:PORT with a port up to 65535"),
        ("GRPC_ADDRESS", "127.0.0.1", "must be HOST:PORT"),
        ("GRPC_ADDRESS", "::1:50051", "must be HOST:PORT"),
        ("HTTP_ADDRESS", "nonsense", "must be HOST:PORT"),
        ("HTTP_ADDRESS", "http://127.0.0.1:8080", "must be HOST:PORT"),
        ("PUBLIC_URL", "nonsense", "must be a URL such as https://events.example.org"),
        ("PUBLIC_URL", "https://", "must be a URL such as"),
        ("MONGODB_URI", "nonsense", "must begin with mongodb:// or mongodb+srv://"),
        ("CONSOLE", "perhaps", "must be true or false"),
        ("LIST_LIMIT", "many", "must be a whole number"),
        ("LIST_LIMIT", "0", "must be greater than or equal to 1"),
        ("WEBHOOK_RATE", "fast", "must be a number"),
        ("RETENTION_BY_SEVERITY", "INFO", "must be like INFO=7,CRITICAL=365"),
    ],
)
def test_invalid_setting_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(f"EVENT_SERVICE_{name}", value)
    with pytest.raises(Failure) as caught:
        load_settings({})
    assert caught.value.message.startswith(f"EVENT_SERVICE_{name}: {message}")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLUGIN_ENDPOINTS", ""),
        ("PLUGIN_ENDPOINTS", '{"a": "grpc://[::1]:50051"}'),
        ("GRPC_ADDRESS", ":50051"),
        ("GRPC_ADDRESS", "[::]:0"),
        ("PUBLIC_URL", ""),
        ("PUBLIC_URL", "https://events.example.org/below/"),
        ("MONGODB_URI", "mongodb+srv://user:word@cluster.example.org/?retryWrites=true"),
    ],
)
def test_valid_settings_are_accepted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"EVENT_SERVICE_{name}", value)
    load_settings({})


def test_settings_without_effect_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENT_SERVICE_RETENTION_DAY", "30")
    monkeypatch.setenv("EVENT_SERVICE_XYZZY", "1")
    monkeypatch.setenv("EVENT_SERVICE_JWKS_FILE", "keys.json")
    assert list(ineffective_settings(load_settings({}))) == [
        "EVENT_SERVICE_RETENTION_DAY is not a setting; did you mean EVENT_SERVICE_RETENTION_DAYS?",
        "EVENT_SERVICE_XYZZY is not a setting",
        "EVENT_SERVICE_JWKS_FILE is set but tokens are not verified; set EVENT_SERVICE_AUTH=jwt",
    ]


def test_variables_of_clients_and_kubernetes_are_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        *("SERVER", "TOKEN", "CA_FILE", "WEBHOOK_ID", "ACCESS_KEY", "IMAGE", "JWKS", "HTTP"),
        *("TEST_ROUNDS", "FUZZ_SECONDS", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC"),
        *("PORT", "PORT_50051_TCP", "PORT_50051_TCP_ADDR"),
    ):
        monkeypatch.setenv(f"EVENT_SERVICE_{name}", "x")
    assert list(ineffective_settings(load_settings({}))) == []


def test_command_line_overrides_environment(monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize("address", ["grpc_address", "http_address"])
def test_address_beyond_loopback_refused_without_authentication(address: str) -> None:
    with pytest.raises(Failure, match="authentication is off"):
        refuse_open_access(load_settings({address: "0.0.0.0:50051"}))


def test_any_address_accepted_with_authentication(tmp_path: Path) -> None:
    refuse_open_access(
        load_settings({"grpc_address": "0.0.0.0:50051", "auth": "jwt", "jwks_file": tmp_path / "jwks.json"})
    )
