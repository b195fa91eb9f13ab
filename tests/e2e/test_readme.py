"""Run everything in the README: sessions, program, make targets and settings."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.service import CHECKOUT, Service
from tests.e2e.sessions import Meanings, blocks, steps

README = CHECKOUT / "README.md"
GRPC, HTTP, DATA_DIR = "127.0.0.1:50051", "127.0.0.1:8080", "/home/you/.local/share/event-service"
LAST_LINE = "\ncurl "
AMTOOL = CHECKOUT / ".tools" / "bin" / "amtool"


def as_in_readme(text: str, service: Service) -> str:
    """Return the output of a test service, with the default addresses."""
    for ours, shown in ((service.grpc_address, GRPC), (service.http_address, HTTP), (str(service.data_dir), DATA_DIR)):
        text = text.replace(ours, shown)
    # The README's user has the default address, for which the line names no server.
    return text.replace(f" --server {GRPC}", "")


@pytest.mark.timeout(180)
def test_sessions_and_program(make_service: Callable[..., Service], tmp_path: Path) -> None:
    service = make_service()
    service.terminal = True
    service.start()
    deadline = time.monotonic() + 30
    while LAST_LINE not in service.log and time.monotonic() < deadline:
        time.sleep(0.1)
    meanings = Meanings()
    sessions = blocks(README, "console")
    assert len(sessions) >= 3
    for session in sessions:
        for step in steps(session):
            if step.command == "make run":
                # tests/e2e/test_make_run.py runs it from a fresh checkout; here it is what it serves that counts.
                meanings.compare(step.printed, served(service))
                continue
            command = (
                meanings.translate(step.command).replace(GRPC, service.grpc_address).replace(HTTP, service.http_address)
            )
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=CHECKOUT,
                env=service.environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
            meanings.compare(step.printed, as_in_readme(done.stdout, service))

    (program,) = blocks(README, "python")
    path = tmp_path / "client.py"
    path.write_text(meanings.translate(program).replace(GRPC, service.grpc_address))
    assert len([line for line in program.splitlines() if line.strip()]) <= 12
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Disk full" in done.stdout
    assert service.stop() == 0


def served(service: Service) -> str:
    """Return the output of `serve` without its log."""
    lines = [line for line in service.log.splitlines() if not line.startswith("{")]
    return as_in_readme("\n".join(lines), service)


def test_the_settings_are_those_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "tools/settings_table.py", "--check"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_make_targets_exist() -> None:
    targets = {line.split(":")[0] for line in (CHECKOUT / "Makefile").read_text().splitlines() if line[:1].isalpha()}
    named = {
        words[1]
        for block in blocks(README, "sh")
        for line in block.splitlines()
        if (words := line.split())[0] == "make"
    }
    assert named
    assert named <= targets


@pytest.mark.skipif(not AMTOOL.exists(), reason="make test-tools has not unpacked it")
def test_alertmanager_takes_its_configuration(tmp_path: Path) -> None:
    (configuration,) = blocks(README, "yaml")
    (tmp_path / "alertmanager.yml").write_text(configuration)
    done = subprocess.run(
        [AMTOOL, "check-config", "alertmanager.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "2 receivers" in done.stdout


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text(encoding="utf-8"))
    assert [link for link in links if not (CHECKOUT / link).exists()] == []
