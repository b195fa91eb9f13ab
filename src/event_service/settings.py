"""All settings of the service: environment variables EVENT_SERVICE_*, read once at start.

`make docs` writes the README's table from this file.
"""

import ipaddress
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SEVERITIES = ("NONE", "CRITICAL", "ERROR", "WARNING", "INFO", "NOT_AVAILABLE")
"""Names as in EventInfo; repeated because settings must not import `model/event.py`."""


def default_data_dir() -> Path:
    """Return the platform's data directory for this program, e.g. ~/.local/share/event-service on Linux."""
    return Path(platformdirs.user_data_dir("event-service"))


def _days_by_severity(value: Any) -> Any:
    """Parse `INFO=7, CRITICAL=365`; raise ValueError if it is malformed."""
    pairs = value.items() if isinstance(value, dict) else [one.split("=") for one in value.split(",") if one.strip()]
    days: dict[str, int] = {}
    for pair in pairs:
        if len(pair) != 2:
            raise ValueError("must be like INFO=7,CRITICAL=365")
        severity, number = str(pair[0]).strip().upper(), str(pair[1]).strip()
        if severity not in SEVERITIES or severity in days:
            raise ValueError(f"must name each severity at most once; severities are {', '.join(SEVERITIES)}")
        if not (number.isascii() and number.isdigit() and int(number) <= 36_500):
            raise ValueError(f"{severity} must have a whole number of days from 0 (no limit) to 36500")
        days[severity] = int(number)
    return days


def _endpoints(value: Any) -> Any:
    """Parse a JSON object of plugin_id to grpc://HOST:PORT; raise ValueError if it is malformed."""
    try:
        endpoints = json.loads(value or "{}") if isinstance(value, str) else value
    except ValueError:
        endpoints = None
    if not isinstance(endpoints, dict):
        raise ValueError('must be a JSON object, such as {"my-plugin": "grpc://plugins:50051"}')  # noqa: TRY004
    for plugin_id, endpoint in endpoints.items():
        if not _is_url(endpoint, "grpc") or not urlsplit(endpoint).port:
            raise ValueError(f"{plugin_id} must be grpc://HOST:PORT, not {endpoint!r}")
    return endpoints


def _is_url(text: Any, *schemes: str) -> bool:
    """Return True for a URL of these schemes with a host and a valid port, if any."""
    try:
        parts = urlsplit(text)
        return isinstance(text, str) and parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except (ValueError, AttributeError):
        return False


def _address(text: str) -> str:
    port = re.fullmatch(r"(?:[^\s:/\[\]]*|\[[^\s/\[\]]+\]):([0-9]{1,5})", text)
    if port is None or int(port[1]) > 65_535:
        raise ValueError(f"must be HOST:PORT with a port up to 65535, not {text!r}")
    return text


def _public_url(text: str) -> str:
    if text and not _is_url(text, "http", "https"):
        raise ValueError("must be a URL such as https://events.example.org")
    return text


def _mongodb_uri(uri: SecretStr) -> SecretStr:
    if uri.get_secret_value() and not uri.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("must begin with mongodb:// or mongodb+srv://")
    return uri


def _database(name: str) -> str:
    """Check MongoDB's rules: mongodb.com/docs/manual/reference/limits, "Restrictions on Database Names"."""
    if not 0 < len(name.encode()) < 64 or re.search(r'[/\\. "$*<>:|?\0]', name):
        raise ValueError('must have 1 to 63 bytes, without / \\ . " $ * < > : | ? and blanks')
    return name


Address = Annotated[str, AfterValidator(_address)]


class Settings(BaseSettings):
    """Settings of one service process. The README shows each field's description."""

    model_config = SettingsConfigDict(env_prefix="EVENT_SERVICE_", extra="ignore", frozen=True)

    mongodb_uri: Annotated[SecretStr, AfterValidator(_mongodb_uri)] = Field(
        SecretStr(""),
        description="URI of the MongoDB replica set or sharded cluster. Empty: start an embedded database in the data "
        "directory.",
    )
    database: Annotated[str, AfterValidator(_database)] = Field("monitoring", description="Database name.")
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Directory of the embedded database, generated keys and the first webhook.",
    )
    mongod: str = Field(
        "",
        description="Program of the embedded database. Empty: mongod on PATH, else that of the extra `embedded`.",
    )
    mongod_cache_mb: int = Field(256, ge=256, description="WiredTiger cache of the embedded database, in MB.")

    grpc_address: Address = Field("127.0.0.1:50051", description="HOST:PORT of the gRPC server.")
    http_address: Address = Field("127.0.0.1:8080", description="HOST:PORT of the HTTP server.")
    processes: int = Field(
        1, ge=0, le=256, description="Processes that serve both ports, on Linux. 0: one for each core."
    )
    tls_cert_file: Path | None = Field(
        None, description="PEM certificate chain of both ports, reloaded when replaced. Empty: no TLS."
    )
    tls_key_file: Path | None = Field(None, description="Unencrypted PEM private key of tls_cert_file.")
    tls_client_ca_file: Path | None = Field(
        None, description="PEM CA certificates for client certificates; if set, the gRPC port requires one (mTLS)."
    )
    http_tls: bool = Field(
        True, description="Use TLS for HTTP too. false: plain HTTP, behind a proxy that terminates TLS."
    )
    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        "",
        description="External base URL of the HTTP server, used in webhook URLs. With auth=none on loopback its "
        "host is the only accepted Host header besides loopback names.",
    )

    auth: Literal["none", "jwt"] = Field(
        "none", description="Authentication: none (any caller can read; loopback only) or jwt (bearer tokens)."
    )
    jwks_file: Path | None = Field(None, description="JSON Web Key Set that verifies tokens (auth=jwt).")
    system_token_max_age: int = Field(
        86400, ge=1, description="Seconds after `iat` at which a SYSTEM_TOKEN without `exp` expires."
    )
    token_audience: str = Field("", description="Required `aud` of tokens. Empty: any audience.")
    default_domain_id: str = Field("domain-default", description="Domain of all callers with auth=none.")
    default_workspace_id: str = Field("workspace-default", description="Workspace of all callers with auth=none.")
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Key (base64, 32 bytes) that encrypts Cloud Eye secret keys and webhook secrets. Empty: generated "
        "in the data directory.",
    )

    duplicate_event_time: int = Field(
        600, ge=0, description="Seconds after its newest event during which an alert takes further ALERT events."
    )
    store_unmatched_recovery: bool = Field(False, description="Store RECOVERY events without an open alert.")
    alerts_per_minute: int = Field(
        0,
        ge=0,
        description="Alerts a webhook may open per minute; further events share one alert. 0: no limit.",
    )
    idempotency_hours: int = Field(24, ge=1, description="Hours an idempotency key is kept.")
    same_body_seconds: int = Field(
        60,
        ge=0,
        description="Seconds during which an equal HTTP body that contains timestamps counts as a duplicate. 0: never.",
    )
    plugin_endpoints: Annotated[dict[str, str], NoDecode, BeforeValidator(_endpoints)] = Field(
        default_factory=dict,
        description="Remote plugins, a JSON object of plugin_id to grpc://HOST:PORT. The option `endpoint` of a "
        "webhook overrides it.",
    )
    plugin_endpoint_hosts: str = Field(
        "",
        description="Hosts allowed in the option `endpoint` of webhooks, separated by commas. Empty: none.",
    )
    plugin_timeout_seconds: float = Field(5.0, gt=0, description="Timeout of a remote plugin per payload, in seconds.")
    retention_days: int = Field(0, ge=0, le=36_500, description="Days an event is kept. 0: no limit.")
    retention_by_severity: Annotated[dict[str, int], NoDecode, BeforeValidator(_days_by_severity)] = Field(
        default_factory=dict,
        description="Days by severity, such as INFO=7,CRITICAL=365. 0: no limit. The option `retention_days` of a "
        "webhook overrides it.",
    )

    list_limit: int = Field(1000, ge=1, description="Rows of a list request without a limit.")
    max_reply_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1024,
        description="Largest reply, in bytes: a list without a limit ends there, a larger stat is RESOURCE_EXHAUSTED. "
        "A list with a limit may have four times as much.",
    )
    max_message_bytes: int = Field(
        16 * 1024 * 1024,
        ge=1024,
        description="Largest request with payloads, in bytes. Others have 1 MiB at most, or 256 KiB without a query.",
    )
    grpc_compression: bool = Field(
        True,
        description="Accept gRPC requests compressed with gzip, else UNIMPLEMENTED. Decompressed, too, they may have "
        "EVENT_SERVICE_MAX_MESSAGE_BYTES.",
    )
    grpc_max_calls: int = Field(
        2048,
        ge=1,
        description="Concurrent gRPC calls; more are RESOURCE_EXHAUSTED. Health.Watch and reflection streams have "
        "limits of their own, each of the same size.",
    )
    grpc_max_calls_per_connection: int = Field(
        1024, ge=1, description="Concurrent gRPC calls per connection; clients queue further calls."
    )
    grpc_memory_bytes: int = Field(64 * 1024 * 1024, ge=1024, description="Bytes of all gRPC requests in flight.")
    keepalive_seconds: int = Field(60, ge=1, description="Seconds without traffic after which a gRPC client is pinged.")
    connection_age_seconds: int = Field(
        0, ge=0, description="Seconds after which a gRPC client is asked to reconnect, for load balancers. 0: never."
    )
    max_event_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="Largest stored event, in bytes.")
    query_timeout_ms: int = Field(10_000, ge=1, description="Timeout of a query in the database, in milliseconds.")
    write_queue: int = Field(4096, ge=1, description="Waiting creates of a webhook; more are RESOURCE_EXHAUSTED.")
    webhook_rate: float = Field(
        0, ge=0, description="Events per second and webhook; more are RESOURCE_EXHAUSTED. 0: no limit."
    )
    webhook_burst: int = Field(1000, ge=1, description="Events a webhook may send in a burst above webhook_rate.")
    read_threads: int = Field(8, ge=1, description="Concurrent reads of one domain; twice as many of all domains.")
    http_body_seconds: float = Field(30.0, gt=0, description="Timeout for receiving an HTTP request, in seconds.")
    http_body_memory_bytes: int = Field(64 * 1024 * 1024, ge=1024, description="Bytes of all HTTP bodies in flight.")
    cloud_eye_rules: Literal["seed", "newer"] = Field(
        "seed",
        description="Edition of Cloud Eye's naming rules. newer: resource_name may contain `.`, `@` and Chinese.",
    )
    cloud_eye_time_margin_seconds: int = Field(
        20,
        ge=0,
        le=600,
        description="Margin subtracted from the accepted times of Cloud Eye events: 1 h past, 10 min ahead.",
    )
    cloud_eye_max_body_bytes: int = Field(
        12 * 1024 * 1024, ge=1024, description="Largest Cloud Eye request body, in bytes."
    )
    console: bool = Field(True, description="Serve the web console at / of the HTTP server.")
    metrics: bool = Field(
        True, description="Serve /metrics without authentication. It contains numbers, no ids or keys."
    )
    grace_seconds: float = Field(20.0, ge=0, description="Seconds a stop waits for calls in flight.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")


def is_loopback(address: str) -> bool:
    """Return True if HOST:PORT is on loopback. Of host names only localhost is."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
