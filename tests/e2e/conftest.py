"""Services for the end-to-end tests. Every test talks to a real process over real sockets."""

import functools
import io
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.main

from event_service import cli
from event_service.store.embedded.database import running_uri
from tests.e2e.commands import CommandLine, Run
from tests.e2e.deliveries import Collectors
from tests.e2e.foreign import ForeignClient
from tests.e2e.service import Service

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield one service on an embedded database, without authentication, for all tests that need nothing else."""
    with Service(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def webhook(service: Service, request: pytest.FixtureRequest) -> tuple[str, str]:
    """A webhook of the test's own on the shared service: its id and access key."""
    return service.create_webhook(request.node.name)


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Make services with settings of their own (EVENT_SERVICE_AUTH="jwt"), not started, and stop them all."""
    made: list[Service] = []

    def make(**settings: str) -> Service:
        made.append(Service(tmp_path / f"service-{len(made)}", settings))
        return made[-1]

    yield make
    for running in made:
        if running.process is not None and running.process.poll() is None:
            running.stop()


@pytest.fixture
def own_database(service: Service) -> dict[str, str]:
    """Settings of a service with an empty database on the shared service's mongod, instead of a mongod of its own."""
    uri = running_uri(service.data_dir)
    assert uri is not None
    return {"EVENT_SERVICE_MONGODB_URI": uri, "EVENT_SERVICE_DATABASE": f"e2e_{next(_numbers)}"}


@pytest.fixture
def foreign_client(service: Service) -> Iterator[ForeignClient]:
    """Yield the shared service as a program with the stubs of spaceone-api sees it."""
    with ForeignClient(service.grpc_address) as client:
        yield client


@pytest.fixture(scope="module")
def collectors(service: Service) -> Iterator[Collectors]:
    """Return the simulated monitoring tools of the shared service."""
    running = Collectors(service)
    yield running
    running.close()


get_command = functools.cache(typer.main.get_command)
"""A process that runs one command builds all commands once; so does this one, which runs hundreds."""


@pytest.fixture
def run(service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Run `event-service ARGUMENTS` in this process against the shared service."""
    for name in [name for name in os.environ if name.startswith("EVENT_SERVICE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EVENT_SERVICE_SERVER", service.grpc_address)
    monkeypatch.setenv("EVENT_SERVICE_DATA_DIR", str(service.data_dir))
    monkeypatch.setattr("typer.main.get_command", get_command)

    def run(*arguments: str, stdin: str = "") -> Run:
        monkeypatch.setattr("sys.argv", ["event-service", *arguments])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Run(int(ended.value.code or 0), captured.out, captured.err)

    return run
