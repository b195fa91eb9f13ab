"""Access keys and tokens, right and wrong ones, over all transports and errors: nothing stores or shows them.

So are secrets that webhooks are given for other tools' signatures. Each is a canary: a text that nothing else holds.
They are looked for in all that the services have written and said.
Source: the Event API's rules, section 2 and difference 22.
"""

import hashlib
import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import httpx
import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from event_service._gen.event_service.v1 import webhooks_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.settings import Settings
from event_service.store.client import Database
from tests.e2e.foreign import ForeignClient, Refused
from tests.e2e.trust.command_line import CommandLine
from tests.e2e.trust.conftest import Door, Trust
from tests.unit.http.cloud_eye.signing import signed
from tests.unit.wire.nesting import nested

pytestmark = pytest.mark.xdist_group("trust")

EVENT = "/spaceone.api.monitoring.v1.Event"
PROJECT = "0a1b2c3d"
PIECE = 20  # characters of a canary that appear nowhere by chance


@dataclass
class Aftermath:
    """All secrets sent, and all replies.

    Attributes:
        canaries: by what they are.
        said: every reply but those that are to show a key, every error, its details included.
    """

    trust: Trust
    plain: Door
    canaries: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def ask(self, door: Door, service: str, method: str, request: dict[str, Any], **metadata: str) -> None:
        try:
            self.said.append(str(door.ask(service, method, request, **metadata)))
        except Refused as refused:
            self.said.append(str(refused))

    def canary(self, what: str) -> str:
        """Return an invalid key."""
        self.canaries[what] = hashlib.sha256(f"canary {what}".encode()).hexdigest()
        return self.canaries[what]

    def found_in(self, text: str | bytes) -> list[str]:
        """Return the canaries found in a text: whole, in part, or as the bytes of a key's digits."""
        where = (text if isinstance(text, bytes) else text.encode()).lower()
        found = []
        for what, canary in self.canaries.items():
            secret = canary.rpartition(".")[2]  # of a token its signature: the rest of it is no secret
            pieces = {secret[:PIECE], secret[-PIECE:], secret[PIECE : 2 * PIECE]}
            forms = [piece.lower().encode() for piece in pieces if len(piece) == PIECE]
            if re.fullmatch(r"[0-9a-f]{64}", canary):
                forms.append(bytes.fromhex(canary).lower())
            if any(form in where for form in forms):
                found.append(what)
        return found


@pytest.fixture(scope="module")
def aftermath(
    trust: Trust, plain_client: ForeignClient, mutual_client: ForeignClient, http_client: httpx.Client
) -> Aftermath:
    """Send every canary everywhere, once."""
    what = Aftermath(trust, Door(plain_client))
    webhooks = {name: make_webhook(what, name) for name in ("native", "cloud-eye", "sentry")}
    for door in (Door(plain_client), Door(mutual_client), Door(http_client)):
        ask_with_keys(what, door, webhooks["native"])
        ask_with_tokens(what, door)
    ask_about_keys(what, Door(plain_client), webhooks["native"])
    send_bytes(what, webhooks["native"])
    deliver_oddly(what, http_client, webhooks["native"])
    send_raw_http(what, webhooks["native"])
    ask_in_json(what, http_client, webhooks["native"])
    report_to_cloud_eye(what, http_client, webhooks["cloud-eye"])
    handle_option_secrets(what, http_client, webhooks["sentry"])
    for door in (Door(plain_client), Door(mutual_client)):  # counters are written before webhooks are read
        what.ask(door, "Webhook", "list", {}, **trust.realm.metadata("DOMAIN_ADMIN"))
    return what


Webhook = dict[str, str]


def make_webhook(what: Aftermath, name: str) -> Webhook:
    """A webhook whose first key was rotated away, and whose second one holds beside the third."""
    owner = what.trust.realm.metadata("WORKSPACE_OWNER")
    options: dict[str, Any] = {"project_id": PROJECT} if name == "cloud-eye" else {}
    if name == "sentry":
        options = {
            "sentry_client_secret": what.canary("client secret"),
            "pagerduty_secrets": [what.canary("old secret")],
        }
    plugin = {"plugin_id": name, "options": options}
    made = what.plain.ask(
        "Webhook", "create", {"name": name, "project_id": "project-1", "plugin_info": plugin}, **owner
    )
    what.canaries[f"{name}, first key"] = made["access_key"]
    for number, overlap in (("second", 0), ("third", 600)):
        request = webhooks_pb2.RotateKeyRequest(webhook_id=made["webhook_id"], overlap_seconds=overlap)
        with what.trust.plain.channel() as channel:
            rpc = channel.unary_unary("/event_service.v1.Webhooks/RotateKey")
            reply = rpc(request.SerializeToString(), metadata=tuple(owner.items()), timeout=10)
        what.canaries[f"{name}, {number} key"] = webhooks_pb2.RotateKeyResponse.FromString(reply).webhook.access_key
    return {"webhook_id": made["webhook_id"], "access_key": what.canaries[f"{name}, third key"]}


# As deep as a request can be and a reply cannot.
TOO_DEEP = nested("o" * 32 + "ll")


def ask_with_keys(what: Aftermath, door: Door, webhook: Webhook) -> None:
    """Right and wrong keys with everything that can be wrong beside them."""
    owner = what.trust.realm.metadata("WORKSPACE_OWNER")
    this = {"webhook_id": webhook["webhook_id"]}
    wrong = [what.canaries["native, first key"], what.canary("wrong key"), what.canary("wrong key 2") * 20]
    for key in (webhook["access_key"], what.canaries["native, second key"], *wrong):
        for data in ({"event_key": "k"}, {"severity": "AWFUL"}, {"event_key": "k", "deep": TOO_DEEP}, {}):
            what.ask(door, "Event", "create", {**this, "access_key": key, "data": data})
        unknown = {"webhook_id": "webhook-000000000000", "access_key": key, "data": {"event_key": "k"}}
        what.ask(door, "Event", "create", unknown)
        for number in (1, 2):
            again = {**this, "access_key": key, "data": {"event_key": "k", "number": number}}
            what.ask(door, "Event", "create", again, idempotency_key="the same")
        for query in ({}, {"filter": [{"k": "nofield", "v": 1, "o": "eq"}]}, {"page": {"start": 0}}):
            what.ask(door, "Webhook", "list", {"access_key": key, "query": query}, **owner)
    for method in ("get", "update", "update_plugin", "verify_plugin"):
        what.ask(door, "Webhook", method, {**this, "name": "renamed"} if method == "update" else this, **owner)


def ask_about_keys(what: Aftermath, door: Door, webhook: Webhook) -> None:
    """Queries that name the fields of keys; and the key of a disabled webhook."""
    owner = what.trust.realm.metadata("WORKSPACE_OWNER")
    this = {"webhook_id": webhook["webhook_id"]}
    for query in PROBES:
        asked = json.loads(json.dumps(query).replace("KEY", webhook["access_key"]))
        method = "stat" if asked.keys() & {"distinct", "aggregate"} else "list"
        what.ask(door, "Webhook", method, {"query": asked}, **owner)
        what.ask(door, "Event", method, {"query": asked}, **owner)
    what.ask(door, "Webhook", "disable", this, **owner)
    what.ask(door, "Event", "create", {**webhook, "data": {"event_key": "k"}})
    what.ask(door, "Webhook", "enable", this, **owner)


NAMES = ("access_key", "webhook_url", "access_key_hashes", "encrypted_keys")
PROBES: list[dict[str, Any]] = [
    query
    for name in NAMES
    for query in (
        {"filter": [{"k": name, "v": "KEY", "o": "eq"}]},
        {"filter": [{"k": name, "v": "KEY", "o": "contain"}]},
        {"filter_or": [{"k": name, "v": "KEY", "o": "regex"}]},
        {"filter": [{"k": name, "v": ["KEY"], "o": "in"}]},
        {"sort": [{"key": name}]},
        {"only": [name]},
        {"only": ["name"], "add_fields": {"name": f"${name}"}},
        {"only": ["name"], "unwind": {"path": name}},
        {"distinct": name},
        {"aggregate": [{"group": {"keys": [{"k": name, "n": "x"}]}}]},
        {"aggregate": [{"group": {"fields": [{"k": name, "n": "x", "o": "push"}]}}]},
        {"aggregate": [{"sort": [{"key": name}]}, {"limit": 1}]},
    )
]


def ask_with_tokens(what: Aftermath, door: Door) -> None:
    """Tokens that hold, that hold for something else, and that do not."""
    realm = what.trust.realm
    tokens = {
        "token of an admin": realm.token("DOMAIN_ADMIN"),
        "token of a user": realm.token("USER"),
        "token of nothing": realm.token("member of nothing"),
        "token that has expired": realm.token("DOMAIN_ADMIN", exp=1),
        "token of another domain's key": realm.token("DOMAIN_ADMIN", "domain-2"),
        "token cut off": realm.token("DOMAIN_ADMIN")[:-40],
        "token with injected_params": realm.token("DOMAIN_ADMIN", injected_params={"a": 1}),
        "token of the system": realm.token("SYSTEM_TOKEN"),
        "invalid token": what.canary("invalid token"),
    }
    what.canaries.update(tokens)
    for token in tokens.values():
        for method, request in (("list", {}), ("get", {"event_id": "x"}), ("stat", {}), ("create", {})):
            if method != "create" or not door.is_http:
                what.ask(door, "Event", method, request, token=token)
        what.ask(door, "Webhook", "disable", {"webhook_id": "x"}, token=token)
        what.ask(door, "Webhook", "list", {}, authorization=f"Bearer {token}")
        what.ask(door, "Webhook", "list", {}, authorization=token)


def send_bytes(what: Aftermath, webhook: Webhook) -> None:
    """Send invalid messages, call unknown methods, and cancel calls."""
    token = what.canaries["token of an admin"]
    good = event_pb2.CreateEventRequest(**webhook, data={"event_key": "k"}).SerializeToString()
    with what.trust.plain.channel() as channel:
        for method in ("create", "get", "list", "stat", "nosuch"):
            for request in (b"\xff" + good, good[:-3], good + b"\x0a\x05ab", webhook["access_key"].encode()):
                for seconds in (10.0, 0.001):
                    rpc = channel.unary_unary(f"{EVENT}/{method}")
                    try:
                        rpc(request, metadata=(("token", token),), timeout=seconds)
                    except grpc.RpcError as error:
                        trailers = "".join(str(value) for _, value in error.trailing_metadata() or ())
                        what.said.append(f"{error.details()} {trailers}")


def deliver_oddly(what: Aftermath, client: httpx.Client, webhook: Webhook) -> None:
    """The key in the path, with everything that can be wrong beside it."""
    token = what.canaries["token of an admin"]
    for key in (webhook["access_key"], what.canaries["wrong key"]):
        url = f"/monitoring/v1/webhook/{webhook['webhook_id']}/{key}/events"
        requests: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", url, {"content": b"not json"}),
            ("POST", url, {"content": b""}),
            ("POST", url, {"content": b"\xff", "headers": {"Content-Encoding": "gzip"}}),
            ("POST", url, {"content": b"x" * 17_000_000}),
            ("POST", url, {"json": {"deep": TOO_DEEP}}),
            (
                "POST",
                url,
                {"json": {"event_key": "k"}, "headers": {"Authorization": f"Bearer {token}", "token": token}},
            ),
            ("POST", url, {"json": {"event_key": "k"}, "headers": {"Cookie": f"session={token}"}}),
            ("POST", f"{url}/", {"json": {}}),
            ("POST", f"{url}/more", {"json": {}}),
            ("POST", f"/{url}", {"json": {}}),
            ("POST", f"{url}?access_key={key}&token={token}", {"json": {"event_key": "k"}}),
            ("POST", url.replace("/events", ""), {"json": {}}),
            ("POST", url.replace("webhook/", "webhook/%2e%2e/"), {"json": {}}),
            ("POST", f"/{key}", {"json": {}}),
            *((method, url, {}) for method in ("GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH")),
            ("GET", f"/readyz?token={token}", {"headers": {"Authorization": f"Basic {token}"}}),
            ("GET", f"/openapi.json?key={key}", {}),
        ]
        for method, path, options in requests:
            answer = client.request(method, path, **options)
            what.said.append(f"{answer.text} {answer.headers}")


def send_raw_http(what: Aftermath, webhook: Webhook) -> None:
    """Send raw requests that client libraries cannot send."""
    url = f"/monitoring/v1/webhook/{webhook['webhook_id']}/{webhook['access_key']}/events"
    host, _, port = what.trust.plain.http_address.rpartition(":")
    for head in (
        f"POST {url} HTTP/1.0\r\n\r\n",
        f"POST {url}\r\n\r\n",
        f"POST {url} HTTP/9.9\r\nHost: x\r\n\r\n",
        f"P{url}ST / HTTP/1.1\r\nHost: x\r\n\r\n",
        f"POST http://{host}{url} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}",
        f"POST {url} HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        f"POST {url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        f"POST {url} HTTP/1.1\r\nHost: x\r\nbad header {webhook['access_key']}\r\n\r\n",
        f"POST {url} HTTP/1.1\r\nHost: x\r\nX-Long: {'x' * 100_000}\r\n\r\n",
        f"POST {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{{",
        f"GET {url} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        f"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{url}",
    ):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.settimeout(1.0)
            try:
                connection.sendall(head.encode())
                connection.shutdown(socket.SHUT_WR)
                what.said.append(connection.recv(65536).decode(errors="replace"))
            except OSError:
                continue


def ask_in_json(what: Aftermath, client: httpx.Client, webhook: Webhook) -> None:
    """The rpcs as JSON, the JSON not as it should be around a key."""
    key, token = webhook["access_key"], what.canaries["token of an admin"]
    headers = {"Authorization": f"Bearer {token}"}
    for path in ("/monitoring/v1/webhook/list", "/monitoring/v1/webhook/create", "/monitoring/v1/event/list"):
        for body in (
            f'{{"access_key": "{key}", }}',
            f'{{"access_key": "{key}"',
            f'{{"access_key": ["{key}"]}}',
            f'{{"access_key": {{"a": "{key}"}}}}',
            f'{{"access_key": "{key}", "state": "AWFUL"}}',
            f'{{"access_key": "{key}", "query": "{key}"}}',
            f'{{"access_key": "{key}", "query": {{"page": {{"limit": -1}}}}}}',
            f'["{key}"]',
            f'"{key}"',
            key,
        ):
            answer = client.post(path, content=body.encode(), headers=headers)
            what.said.append(f"{answer.text} {answer.headers}")


def report_to_cloud_eye(what: Aftermath, client: httpx.Client, webhook: Webhook) -> None:
    """The key that signs, also sent in clear, with good and bad reports."""
    path = f"/V1.0/{PROJECT}/events"
    now = datetime.now(UTC)
    item = {"event_name": "a", "event_source": "SYS.ECS", "time": int(time.time() * 1000), "detail": {}}
    for body in (json.dumps([item]).encode(), b"[]", b"not json", b'[{"event_name": 1}]'):
        for key in what.canaries.values() if body == b"[]" else (webhook["access_key"],):
            token = f"{webhook['webhook_id']}:{key}"
            for headers in ({"X-Auth-Token": token}, {"X-Auth-Token": key}, {"Authorization": f"Bearer {key}"}):
                answer = client.post(path, content=body, headers=headers)
                what.said.append(f"{answer.text} {answer.headers}")
        for key in (webhook["access_key"], what.canaries["wrong key"]):
            request = signed("POST", path, None, body, secret_key=key, access_key_id=webhook["webhook_id"], at=now)
            answer = client.post(path, content=body, headers=request.headers)
            what.said.append(f"{answer.text} {answer.headers}")


def handle_option_secrets(what: Aftermath, client: httpx.Client, webhook: Webhook) -> None:
    """Secrets among a webhook's options: shown, changed, asked about, and used on deliveries with a wrong signature."""
    owner, this = what.trust.realm.metadata("WORKSPACE_OWNER"), {"webhook_id": webhook["webhook_id"]}
    name = "plugin_info.options.sentry_client_secret"
    secret = what.canaries["client secret"]
    for method, request in (
        ("get", this),
        ("verify_plugin", this),
        ("update_plugin", {**this, "options": {"sentry_client_secret": secret, "timezone": "nowhere"}}),
        ("update_plugin", {**this, "options": {"sentry_client_secret": what.canary("new secret")}}),
        ("update", {**this, "name": "renamed again"}),
        ("list", {"query": {"filter": [{"k": name, "v": secret, "o": "eq"}]}}),
        ("list", {"query": {"only": ["plugin_info"]}}),
        ("list", {"query": {"only": ["name"], "add_fields": {"tags": "$plugin_info"}}}),
        ("stat", {"query": {"distinct": name}}),
        ("stat", {"query": {"distinct": "plugin_info"}}),
        ("stat", {"query": {"aggregate": [{"group": {"fields": [{"k": "plugin_info", "n": "x", "o": "push"}]}}]}}),
    ):
        what.ask(what.plain, "Webhook", method, request, **owner)
    url = f"/monitoring/v1/webhook/{webhook['webhook_id']}/{webhook['access_key']}/events"
    for signature in ("", "0" * 64, secret):
        answer = client.post(url, json={"event_key": "k"}, headers={"Sentry-Hook-Signature": signature})
        what.said.append(f"{answer.text} {answer.headers}")


def test_the_right_ones_got_in(aftermath: Aftermath) -> None:
    """Otherwise nothing below would mean anything."""
    said = "\n".join(aftermath.said)
    assert "'event-id'" in said or "event-id" in said
    for refusal in (
        "ERROR_PERMISSION_DENIED", "ERROR_AUTHENTICATE_FAILURE", "ERROR_WEBHOOK_STATE_DISABLED", "ERROR_NOT_FOUND",
        "ERROR_ALREADY_EXISTS", "ERROR_INVALID_PARAMETER", "ERROR_DB_QUERY", "ERROR_TOO_LARGE", "ces.",
    ):  # fmt: skip
        assert refusal in said, refusal
    assert len(aftermath.canaries) > 15


def test_nothing_said_shows_one(aftermath: Aftermath) -> None:
    shown = {text[:500]: found for text in aftermath.said if (found := aftermath.found_in(text))}
    assert shown == {}


def test_nothing_in_the_log_shows_one(aftermath: Aftermath) -> None:
    for service in (aftermath.trust.plain, aftermath.trust.mutual):
        lines = service.log.splitlines()
        assert len(lines) > 20
        assert [line[:500] for line in lines if aftermath.found_in(line)] == []
        assert [line[:500] for line in lines if "Traceback" in line or '"level": "error"' in line] == []


def raw_documents(database: Database) -> Iterator[tuple[str, bytes]]:
    """Yield every document of every collection of every database, as it is stored."""
    raw: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
    for name in database.client.list_database_names():
        for collection in database.client[name].list_collection_names():
            for document in database.client[name].get_collection(collection, codec_options=raw).find():
                yield f"{name}.{collection}", document.raw


def test_nothing_in_the_database_holds_one(aftermath: Aftermath, database: Database) -> None:
    documents = list(raw_documents(database))
    assert {"monitoring.event", "monitoring.webhook", "monitoring.idempotency_key"} <= {where for where, _ in documents}
    assert [(where, found) for where, raw in documents if (found := aftermath.found_in(raw))] == []


def test_no_file_of_the_service_holds_one(aftermath: Aftermath) -> None:
    """The database's journal included."""
    files = [path for path in aftermath.trust.plain.data_dir.rglob("*") if path.is_file()]
    assert any("WiredTigerLog" in path.name for path in files) or any("journal" in str(path) for path in files)
    assert [(path.name, found) for path in files if (found := aftermath.found_in(path.read_bytes()))] == []


def test_public_pages_contain_no_secret(aftermath: Aftermath, http_client: httpx.Client) -> None:
    for path in ("/openapi.json", "/healthz", "/readyz", "/metrics", "/"):
        assert aftermath.found_in(http_client.get(path).text) == []


def test_the_command_line_repeats_none(aftermath: Aftermath, line: CommandLine, trust: Trust) -> None:
    line.set(EVENT_SERVICE_SERVER=trust.plain.grpc_address)
    key, token = aftermath.canaries["wrong key"], aftermath.canaries["token that has expired"]
    for arguments in (
        ("webhook", "list", "--token", token),
        ("event", "list", "--token", aftermath.canaries["invalid token"]),
        ("event", "send", "absent.json", "--webhook-id", "w", "--access-key", key),
        ("webhook", "get", "webhook-000000000000", "--token", aftermath.canaries["token of an admin"]),
    ):
        assert aftermath.found_in(line.refusal(*arguments)) == []


def test_settings_do_not_show_their_secrets(line: CommandLine, trust: Trust) -> None:
    secrets = {"mongodb_uri": "mongodb://user:canary-password@127.0.0.1:1/", "secret_key": "canary" * 6}
    shown = Settings(**secrets)  # type: ignore[arg-type]
    for text in (repr(shown), str(shown), str(shown.model_dump()), shown.model_dump_json()):
        assert "canary" not in text
    line.set(**{f"EVENT_SERVICE_{name.upper()}": value for name, value in secrets.items()})
    for arguments in (("doctor",), ("doctor", "--json"), ("db", "check"), ("serve",), ("event", "list")):
        _, out, err = line.run(*arguments)
        assert "canary" not in out + err


@pytest.mark.parametrize("query", PROBES, ids=json.dumps)
def test_keys_cannot_be_probed(
    trust: Trust, plain_client: ForeignClient, aftermath: Aftermath, query: dict[str, Any]
) -> None:
    """Queries with the right key and with a wrong one get the same replies."""
    owner = trust.realm.metadata("WORKSPACE_OWNER")
    answers = set()
    for key in (aftermath.canaries["native, third key"], aftermath.canaries["wrong key"]):
        for form in (key, hashlib.sha256(key.encode()).hexdigest()):
            asked = json.loads(json.dumps(query).replace("KEY", form))
            method = "stat" if asked.keys() & {"distinct", "aggregate"} else "list"
            try:
                answers.add(str(plain_client.call("Webhook", method, {"query": asked}, **owner).reply))
            except Refused as refused:
                answers.add(str(refused))
    assert len(answers) == 1
