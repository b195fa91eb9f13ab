"""Mutual TLS with SpaceONE's stubs: only valid client certificates are accepted."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.e2e.foreign import ForeignClient, Refused
from tests.e2e.trust.conftest import Certificates, Trust
from tests.e2e.trust.waiting import within_a_second
from tests.unit.rpc.certificates import Authority

pytestmark = pytest.mark.xdist_group("trust")


def code_with(trust: Trust, files: tuple[Path, ...]) -> str:
    """Return the code of a call with these certificates and a valid token."""
    with ForeignClient(trust.mutual.grpc_address, files) as client:
        try:
            client.call("Event", "list", {}, token=trust.realm.token("DOMAIN_ADMIN"))
        except Refused as refused:
            return refused.code
    return "OK"


def test_the_right_certificate_and_a_token(trust: Trust) -> None:
    assert code_with(trust, trust.certificates.of_client("right")) == "OK"


def test_a_certificate_does_not_replace_the_token(mutual_client: ForeignClient, trust: Trust) -> None:
    with pytest.raises(Refused) as caught:
        mutual_client.call("Event", "list", {})
    assert caught.value.code == "UNAUTHENTICATED"


@pytest.mark.parametrize("what", ["of another authority", "of the servers' authority", "signed by itself", "none"])
def test_a_wrong_certificate(trust: Trust, what: str) -> None:
    """The handshake fails, which gRPC calls UNAVAILABLE: the call has never begun."""
    certificates = trust.certificates
    if what == "none":
        files: tuple[Path, ...] = ()
    elif what == "of the servers' authority":
        files = certificates.of_client("wrong", certificates.servers)
    elif what == "signed by itself":
        alone = Authority("caller")
        files = certificates.of_client("wrong", alone)
        files[1].write_bytes(files[1].read_bytes() + alone.certificate)
    else:
        files = certificates.of_client("wrong", Authority("clients"))
    assert code_with(trust, files) == "UNAVAILABLE"


def test_client_with_another_ca_is_refused(trust: Trust, tmp_path: Path) -> None:
    _, certificate, key = trust.certificates.of_client("mistrustful")
    (tmp_path / "others.pem").write_bytes(Authority("servers").certificate)
    assert code_with(trust, (tmp_path / "others.pem", certificate, key)) == "UNAVAILABLE"


def offered(trust: Trust) -> str:
    """Return the name in the certificate that a new connection is offered, before it is asked for one of its own."""
    host, _, port = trust.mutual.grpc_address.rpartition(":")
    pem = ssl.get_server_certificate((host, int(port)))
    return x509.load_pem_x509_certificate(pem.encode()).subject.rfc4514_string()


@pytest.fixture
def certificates(trust: Trust) -> Iterator[Certificates]:
    """Certificates that the test may replace; afterwards they are as they were."""
    files = [*trust.certificates.server, trust.certificates.folder / "clients.pem"]
    before = [path.read_bytes() for path in files]
    yield trust.certificates
    for path, content in zip(files, before, strict=True):
        path.write_bytes(content)


def test_certificates_are_replaced_without_a_restart(
    trust: Trust, certificates: Certificates, mutual_client: ForeignClient
) -> None:
    assert offered(trust) == "CN=replica"
    certificates.servers.issue("renewed").write(*certificates.server)
    within_a_second(lambda: offered(trust) == "CN=renewed")
    assert code_with(trust, certificates.of_client("right")) == "OK"
    # Connections that are open stay open.
    mutual_client.call("Event", "list", {}, token=trust.realm.token("DOMAIN_ADMIN"))
    # Half of a pair changes nothing.
    certificates.server[1].write_text("half a ke")
    assert offered(trust) == "CN=renewed"
    assert code_with(trust, certificates.of_client("right")) == "OK"


def test_an_authority_of_clients_is_replaced_without_a_restart(trust: Trust, certificates: Certificates) -> None:
    former = certificates.of_client("former")
    successor = Authority("clients, second")
    latter = certificates.of_client("latter", successor)
    trusted = certificates.folder / "clients.pem"
    assert [code_with(trust, files) for files in (former, latter)] == ["OK", "UNAVAILABLE"]
    trusted.write_bytes(certificates.clients.certificate + successor.certificate)
    assert [code_with(trust, files) for files in (former, latter)] == ["OK", "OK"]
    trusted.write_bytes(successor.certificate)
    assert [code_with(trust, files) for files in (former, latter)] == ["UNAVAILABLE", "OK"]
