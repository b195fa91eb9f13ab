"""One service of two processes (EVENT_SERVICE_PROCESSES) on one pair of ports."""

import contextlib
import re
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import psutil
import pytest

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2, webhook_pb2
from event_service.identity.issuing import generate_key, issue_token, write_key_pair
from event_service.identity.principal import Role
from event_service.store.embedded.database import running_uri
from tests.e2e.refusals import assert_one_clear_line, refused_start
from tests.e2e.service import Service
from tests.e2e.test_metrics import samples
from tests.e2e.trust.waiting import within_a_second
from tests.e2e.writers import CREATE, Writers, check_alerts, stored
from tests.unit.rpc.certificates import Authority
from tests.waiting import wait_until

LIST = "/spaceone.api.monitoring.v1.Event/list"
DISABLE = "/spaceone.api.monitoring.v1.Webhook/disable"

CONNECTIONS = 24
"""The kernel gives each to one of two processes: all go to the same one once in eight million times."""

PROCESSES = {"EVENT_SERVICE_PROCESSES": "2"}

MakeService = Callable[..., Service]
Webhook = tuple[str, str]


def start_on_free_ports(service: Service) -> Service:
    """Start it with port 0 for both addresses, and set them to what it prints."""
    service.grpc_address = service.http_address = "127.0.0.1:0"
    service.spawn()
    wait_until(lambda: "\n  authentication" in service.log, 90, lambda: service.log[-3000:])
    service.grpc_address = re.findall(r"^  gRPC +(\S+)$", service.log, re.MULTILINE)[-1]
    service.http_address = re.findall(r"^  HTTP +http://(\S+)$", service.log, re.MULTILINE)[-1]
    return service


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a service of two processes on an embedded database."""
    service = start_on_free_ports(Service(tmp_path_factory.mktemp("pair"), PROCESSES))
    yield service
    service.stop()


@pytest.fixture
def webhook(pair: Service, request: pytest.FixtureRequest) -> Webhook:
    return pair.create_webhook(request.node.name)


@contextlib.contextmanager
def connections(service: Service) -> Iterator[list[grpc.Channel]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(service.channel()) for _ in range(CONNECTIONS)]


def children(service: Service) -> list[psutil.Process]:
    return psutil.Process(service.pid).children()


def workers(service: Service) -> list[psutil.Process]:
    return [child for child in children(service) if "mongod" not in child.name()]


def by_process(service: Service, name: str, **labels: str) -> dict[str, float]:
    """Return the values of a metric by process."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return {
        re.findall(r'process="(\d+)"', sample)[0]: value
        for sample, value in samples(service)[1].items()
        if sample.startswith(f"{name}{{") and all(one in sample for one in wanted)
    }


def code(channel: grpc.Channel, method: str, request: bytes, *metadata: tuple[str, str]) -> str:
    try:
        channel.unary_unary(method)(request, timeout=30, metadata=metadata)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def create_request(webhook: Webhook, event_key: str) -> bytes:
    request = event_pb2.CreateEventRequest(webhook_id=webhook[0], access_key=webhook[1])
    request.data.update({"event_key": event_key, "title": event_key})
    return request.SerializeToString()


def test_both_ports_are_answered_by_both_processes(pair: Service) -> None:
    assert len(workers(pair)) == 2
    grpc_before = by_process(pair, "event_service_rpcs_total", method=LIST, code="OK")
    with connections(pair) as channels:
        assert [code(channel, LIST, b"") for channel in channels] == ["OK"] * CONNECTIONS
    grpc_after = by_process(pair, "event_service_rpcs_total", method=LIST, code="OK")
    grown = {number: value - grpc_before.get(number, 0) for number, value in grpc_after.items()}
    assert grown.keys() == {"0", "1"}
    assert min(grown.values()) > 0
    assert sum(grown.values()) == CONNECTIONS

    for _ in range(CONNECTIONS):
        assert httpx.get(f"http://{pair.http_address}/readyz").json()["status"] == "ready"
    answered = by_process(pair, "event_service_http_requests_total", route="/readyz")
    assert answered.keys() == {"0", "1"}
    assert min(answered.values()) > 0


def test_creates_of_many_connections_are_all_stored_and_counted(pair: Service, webhook: Webhook) -> None:
    before = by_process(pair, "event_service_events_total", outcome="stored")
    with connections(pair) as channels, ThreadPoolExecutor(CONNECTIONS) as threads:
        keys = [f"key-{number}" for number in range(10 * CONNECTIONS)]
        requests = [create_request(webhook, key) for key in keys]
        codes = threads.map(code, channels * 10, [CREATE] * len(keys), requests)
        assert Counter(codes) == {"OK": len(keys)}
    assert Counter(row["event_key"] for row in stored(pair, webhook)) == Counter(keys)
    after = by_process(pair, "event_service_events_total", outcome="stored")
    assert sum(after.values()) - sum(before.values()) == len(keys)
    assert all(after[number] > before[number] for number in ("0", "1"))


def test_each_process_has_its_own_gauges(pair: Service) -> None:
    assert by_process(pair, "event_service_database_up") == {"0": 1, "1": 1}
    assert by_process(pair, "process_resident_memory_bytes").keys() == {"0", "1"}


def test_a_webhook_disabled_at_one_process_is_refused_by_the_other(pair: Service, webhook: Webhook) -> None:
    request = create_request(webhook, "k")
    with connections(pair) as channels:
        assert {code(channel, CREATE, request) for channel in channels} == {"OK"}  # cached by both
        disable = webhook_pb2.WebhookRequest(webhook_id=webhook[0]).SerializeToString()
        assert code(channels[0], DISABLE, disable) == "OK"
        within_a_second(lambda: {code(channel, CREATE, request) for channel in channels} == {"INVALID_ARGUMENT"})


def test_a_killed_process_is_replaced_and_nothing_acknowledged_is_lost(pair: Service, webhook: Webhook) -> None:
    writers = Writers(pair, webhook)
    writers.start()
    wait_until(lambda: len(writers.times) > 20)
    killed, other = workers(pair)
    killed.kill()
    wait_until(lambda: "started another process" in pair.log, 60)
    writers.finish()
    assert writers.unexpected == []
    rows = stored(pair, webhook)
    found = Counter((row["event_key"], row["event_type"]) for row in rows)
    assert writers.acknowledged - found == Counter(), "acknowledged, and lost"
    assert found - writers.acknowledged == Counter(), "doubled"
    check_alerts(rows)
    replacement = [worker for worker in workers(pair) if worker != other]
    assert len(replacement) == 1
    assert replacement != [killed]
    test_both_ports_are_answered_by_both_processes(pair)


def test_replaced_keys_and_certificates_reach_both(
    make_service: MakeService, own_database: dict[str, str], tmp_path: Path
) -> None:
    authority, keys = Authority("ours"), [generate_key() for _ in range(2)]
    jwks, certificate, private = tmp_path / "jwks.json", tmp_path / "server.pem", tmp_path / "server.key"
    write_key_pair(keys[0], tmp_path / "0.json", jwks)
    authority.issue("first").write(certificate, private)
    service = make_service(
        EVENT_SERVICE_AUTH="jwt",
        EVENT_SERVICE_JWKS_FILE=str(jwks),
        EVENT_SERVICE_TLS_CERT_FILE=str(certificate),
        EVENT_SERVICE_TLS_KEY_FILE=str(private),
        **PROCESSES,
        **own_database,
    )
    service.credentials = grpc.ssl_channel_credentials(authority.certificate)
    service.start()
    wait_until(lambda: "is serving." in service.log, 60)
    tokens = [
        ("token", issue_token(key, Role.WORKSPACE_OWNER, domain_id="d-1", workspace_id="w-1", expires_in=600))
        for key in keys
    ]

    def answers() -> set[tuple[str, ...]]:
        with connections(service) as channels:
            return {tuple(code(channel, LIST, b"", token) for token in tokens) for channel in channels}

    assert answers() == {("OK", "UNAUTHENTICATED")}
    write_key_pair(keys[1], tmp_path / "1.json", tmp_path / "new-jwks.json")
    (tmp_path / "new-jwks.json").replace(jwks)
    wait_until(lambda: answers() == {("UNAUTHENTICATED", "OK")})

    authority.issue("second").write(certificate, private)
    for address in (service.grpc_address, service.http_address):
        host, _, port = address.partition(":")
        offered = {ssl.get_server_certificate((host, int(port))) for _ in range(CONNECTIONS)}
        assert [one.split() for one in offered] == [certificate.read_text().split()]
    assert service.stop() == 0


def test_what_the_first_process_cannot_use_is_one_clear_line(tmp_path: Path) -> None:
    done = refused_start(tmp_path, EVENT_SERVICE_AUTH="jwt", EVENT_SERVICE_JWKS_FILE="/nonexistent", **PROCESSES)
    assert_one_clear_line(done, "EVENT_SERVICE_JWKS_FILE")
    assert done.returncode == 2


@pytest.mark.parametrize("name", ["EVENT_SERVICE_GRPC_ADDRESS", "EVENT_SERVICE_HTTP_ADDRESS"])
def test_a_port_of_another_service_is_refused(pair: Service, name: str, tmp_path: Path) -> None:
    taken = pair.grpc_address if name == "EVENT_SERVICE_GRPC_ADDRESS" else pair.http_address
    assert_one_clear_line(refused_start(tmp_path, **{name: taken}, **PROCESSES), taken)


def test_one_process_has_no_parent_and_no_label(service: Service) -> None:
    assert [child for child in children(service) if "mongod" not in child.name()] == []
    assert "process=" not in samples(service)[0]


def test_sigterm_stops_all_and_finishes_calls(pair: Service) -> None:
    if pair.health() != "SERVING":  # a repetition of this test
        pair.start()
    webhook = pair.create_webhook()
    processes = children(pair)
    assert len(processes) == 3
    writers = Writers(pair, webhook)
    writers.start()
    wait_until(lambda: len(writers.times) > 20)
    assert pair.stop() == 0
    assert not [process for process in processes if process.is_running()]
    pair.spawn()
    pair.wait_serving()
    writers.finish()
    assert writers.unexpected == []
    found = Counter((row["event_key"], row["event_type"]) for row in stored(pair, webhook))
    assert found == writers.acknowledged, "acknowledged, and lost"

    processes = children(pair)
    pair.kill()
    psutil.wait_procs(processes, 20)
    assert not [process for process in processes if process.is_running()]
    assert running_uri(pair.data_dir) is None
