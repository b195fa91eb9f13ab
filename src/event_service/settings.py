"""Every knob of the service: environment variables EVENT_SERVICE_*, read once at start.

The README's table of them is written from this file by `make docs`.
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
"""As EventInfo names them; `model/event.py` is above this module."""


def default_data_dir() -> Path:
    """The platform's data directory for this program, e.g. ~/.local/share/event-service on Linux."""
    return Path(platformdirs.user_data_dir("event-service"))


def _days_by_severity(value: Any) -> Any:
    """`INFO=7, CRITICAL=365` as a dictionary.

    Raises:
        ValueError: it is not like that.
    """
    pairs = value.items() if isinstance(value, dict) else [one.split("=") for one in value.split(",") if one.strip()]
    days: dict[str, int] = {}
    for pair in pairs:
        if len(pair) != 2:
            raise ValueError("must be like INFO=7,CRITICAL=365")
        severity, number = str(pair[0]).strip().upper(), str(pair[1]).strip()
        if severity not in SEVERITIES or severity in days:
            raise ValueError(f"must name each severity once, out of {', '.join(SEVERITIES)}")
        if not (number.isascii() and number.isdigit() and int(number) <= 36_500):
            raise ValueError(f"{severity} must have a whole number of days between 0 (for ever) and 36500")
        days[severity] = int(number)
    return days


def _endpoints(value: Any) -> Any:
    """A JSON object of plugin_id to grpc://HOST:PORT as a dictionary.

    Raises:
        ValueError: it is not like that.
    """
    try:
        endpoints = json.loads(value or "{}") if isinstance(value, str) else value
    except ValueError:
        endpoints = None
    if not isinstance(endpoints, dict):
        raise ValueError('must be a JSON object, such as {"my-plugin": "grpc://plugins:50051"}')  # noqa: TRY004
    for plugin_id, endpoint in endpoints.items():
        if not _is_url(endpoint, "grpc") or not urlsplit(endpoint).port:
            raise ValueError(f"{plugin_id} must have grpc://HOST:PORT, and not {endpoint!r}")
    return endpoints


def _is_url(text: Any, *schemes: str) -> bool:
    """Whether it names a host, and a port only if there may be such a one."""
    try:
        parts = urlsplit(text)
        return isinstance(text, str) and parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except (ValueError, AttributeError):
        return False


def _address(text: str) -> str:
    port = re.fullmatch(r"(?:[^\s:/\[\]]*|\[[^\s/\[\]]+\]):([0-9]{1,5})", text)
    if port is None or int(port[1]) > 65_535:
        raise ValueError(f"must be HOST:PORT with a port up to 65535, and not {text!r}")
    return text


def _public_url(text: str) -> str:
    if text and not _is_url(text, "http", "https"):
        raise ValueError("must be an address such as https://events.example.org")
    return text


def _mongodb_uri(uri: SecretStr) -> SecretStr:
    if uri.get_secret_value() and not uri.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("must begin with mongodb:// or mongodb+srv://")
    return uri


def _database(name: str) -> str:
    """MongoDB's own rules: mongodb.com/docs/manual/reference/limits, "Restrictions on Database Names"."""
    if not 0 < len(name.encode()) < 64 or re.search(r'[/\\. "$*<>:|?\0]', name):
        raise ValueError('must have 1 to 63 bytes, and none of / \\ . " $ * < > : | ? or a blank')
    return name


Address = Annotated[str, AfterValidator(_address)]


class Settings(BaseSettings):
    """Settings of one service process. Every field's description is what the README shows."""

    model_config = SettingsConfigDict(env_prefix="EVENT_SERVICE_", extra="ignore", frozen=True)

    mongodb_uri: Annotated[SecretStr, AfterValidator(_mongodb_uri)] = Field(
        SecretStr(""),
        description="MongoDB replica set or sharded cluster to store in. Empty: an embedded database in the data "
        "directory.",
    )
    database: Annotated[str, AfterValidator(_database)] = Field("monitoring", description="Database name.")
    data_dir: Path = Field(
        default_factory=default_data_dir, description="Embedded database, generated keys, first webhook."
    )
    mongod: str = Field(
        "",
        description="Program of the embedded database. Empty: mongod on PATH, else the one of the extra `embedded`.",
    )
    mongod_cache_mb: int = Field(256, ge=256, description="Memory of the embedded database for cached pages, in MB.")

    grpc_address: Address = Field("127.0.0.1:50051", description="HOST:PORT of the gRPC server.")
    http_address: Address = Field("127.0.0.1:8080", description="HOST:PORT of the HTTP server.")
    tls_cert_file: Path | None = Field(
        None, description="PEM certificate chain of both ports; replaced files are taken up. Empty: no TLS."
    )
    tls_key_file: Path | None = Field(None, description="PEM private key of tls_cert_file, not encrypted.")
    tls_client_ca_file: Path | None = Field(
        None, description="PEM authorities of client certificates, which the gRPC port then demands (mTLS)."
    )
    http_tls: bool = Field(
        True, description="Use tls_cert_file for HTTP too. false: plain HTTP, for a proxy in front that has TLS."
    )
    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        "",
        description="Address under which callers reach the HTTP server; used in webhook URLs. With auth=none on "
        "loopback it is the only other name that is answered by.",
    )

    auth: Literal["none", "jwt"] = Field(
        "none", description="Who may read: everybody on loopback, or bearers of a JWT."
    )
    jwks_file: Path | None = Field(None, description="JSON Web Key Set that tokens are checked against (auth=jwt).")
    system_token_max_age: int = Field(
        86400, ge=1, description="Seconds after `iat` at which a SYSTEM_TOKEN without `exp` ends."
    )
    token_audience: str = Field("", description="What a token's `aud` must be or contain. Empty: anything.")
    default_domain_id: str = Field("domain-default", description="Domain that auth=none is scoped to.")
    default_workspace_id: str = Field("workspace-default", description="Workspace that auth=none is scoped to.")
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Key (base64, 32 bytes) that encrypts Cloud Eye secret keys and webhooks' secrets. Empty: made in "
        "the data directory.",
    )

    duplicate_event_time: int = Field(
        600, ge=0, description="Seconds after its newest alert event within which an alert takes further ones."
    )
    store_unmatched_recovery: bool = Field(False, description="Store recoveries that have no open alert.")
    alerts_per_minute: int = Field(
        0,
        ge=0,
        description="Alerts a webhook may open in a minute; what is beyond them shares one. 0: any number.",
    )
    idempotency_hours: int = Field(24, ge=1, description="Hours an idempotency key is remembered.")
    same_body_seconds: int = Field(
        60,
        ge=0,
        description="Seconds within which an equal HTTP body is a repetition, if it has times in it. 0: never.",
    )
    plugin_endpoints: Annotated[dict[str, str], NoDecode, BeforeValidator(_endpoints)] = Field(
        default_factory=dict,
        description="Remote plugins as a JSON object of plugin_id to grpc://HOST:PORT. A webhook's own endpoint wins.",
    )
    plugin_endpoint_hosts: str = Field(
        "",
        description="Hosts that the endpoints of webhooks may name, with commas between. Empty: any.",
    )
    plugin_timeout_seconds: float = Field(5.0, gt=0, description="How long a remote plugin may take for a payload.")
    retention_days: int = Field(0, ge=0, le=36_500, description="Days an event is kept. 0: for ever.")
    retention_by_severity: Annotated[dict[str, int], NoDecode, BeforeValidator(_days_by_severity)] = Field(
        default_factory=dict,
        description="Days for events of some severities: INFO=7,CRITICAL=365. 0: for ever. A webhook's option "
        "retention_days wins.",
    )

    list_limit: int = Field(1000, ge=1, description="Rows of a list without an explicit limit.")
    max_message_bytes: int = Field(16 * 1024 * 1024, ge=1024, description="Largest request, in bytes.")
    grpc_compression: bool = Field(
        False,
        description="Take compressed gRPC requests (gzip, deflate). A few of them that unpack to very much cost "
        "everybody time; without it they are UNIMPLEMENTED.",
    )
    grpc_max_calls: int = Field(
        2048,
        ge=1,
        description="gRPC calls that may be under way at once; over it, RESOURCE_EXHAUSTED. Streams of Health.Watch "
        "and of reflection are counted apart, each up to as many.",
    )
    grpc_max_calls_per_connection: int = Field(
        1024, ge=1, description="gRPC calls one connection may have under way; a client that has more waits by itself."
    )
    grpc_memory_bytes: int = Field(
        64 * 1024 * 1024, ge=1024, description="Bytes of gRPC requests that may be under way at once, in all."
    )
    keepalive_seconds: int = Field(60, ge=1, description="Seconds of silence after which a gRPC client is pinged.")
    connection_age_seconds: int = Field(
        0, ge=0, description="Seconds after which a gRPC client is asked to connect anew, for load balancers. 0: never."
    )
    max_event_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="Largest single stored event, in bytes.")
    query_timeout_ms: int = Field(10_000, ge=1, description="Server-side limit of one query, in milliseconds.")
    write_queue: int = Field(
        4096, ge=1, description="Creates that may wait for the writer; over it, RESOURCE_EXHAUSTED."
    )
    webhook_rate: float = Field(
        0, ge=0, description="Events a second one webhook may deliver; over it, RESOURCE_EXHAUSTED. 0: any number."
    )
    webhook_burst: int = Field(1000, ge=1, description="Events a webhook may deliver at once in spite of webhook_rate.")
    read_threads: int = Field(8, ge=1, description="Reads that may run in the database at once.")
    http_body_seconds: float = Field(30.0, gt=0, description="How long an HTTP request may take to arrive.")
    http_body_memory_bytes: int = Field(
        64 * 1024 * 1024, ge=1024, description="Bytes of HTTP bodies that may be under way at once, in all."
    )
    cloud_eye_rules: Literal["seed", "newer"] = Field(
        "seed",
        description="Edition of Cloud Eye's naming rules. newer: resource_name may hold `.`, `@` and Chinese.",
    )
    cloud_eye_time_margin_seconds: int = Field(
        20, ge=0, le=600, description="Cloud Eye events may be 1 h old less this, and 10 min ahead less this."
    )
    cloud_eye_max_body_bytes: int = Field(
        12 * 1024 * 1024, ge=1024, description="Largest Cloud Eye request body, in bytes."
    )
    console: bool = Field(True, description="Serve pages for people at / of the HTTP server.")
    metrics: bool = Field(
        True, description="Serve /metrics to whoever reaches the HTTP server. It tells numbers, and no ids or keys."
    )
    grace_seconds: float = Field(20.0, ge=0, description="How long a stop waits for calls in flight.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")


def is_loopback(address: str) -> bool:
    """Whether HOST:PORT can be reached from this machine only. A name other than localhost counts as not."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
