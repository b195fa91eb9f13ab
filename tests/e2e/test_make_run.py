"""`make run` in a fresh copy of the checkout, and what it prints, pasted into a shell."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.service import CHECKOUT, Service

LAST_LINE = "\ncurl "

# One environment set up for all of them.
pytestmark = pytest.mark.xdist_group("make run")


def copy_of_checkout(target: Path) -> Path:
    """Return the files of the project as they are now, and nothing git ignores: what a clone would have."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (CHECKOUT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, target / name)
    return target


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`make run` as a newcomer types it, on other ports and with a data directory of its own."""
    checkout = copy_of_checkout(tmp_path_factory.mktemp("clone"))
    kept = {
        name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "SSL_")) or name in ("HOME", "LANG")
    }
    python = sys.base_prefix + "/bin/python3"
    service = Service(
        tmp_path_factory.mktemp("made"),
        command=("setsid", "make", "run", f"PYTHON={python}"),
        cwd=checkout,
        terminal=True,
        # A newcomer's pip has no cache: a package that it once built here would not be built again.
        outside={**kept, "PIP_NO_CACHE_DIR": "1", "PATH": os.defpath},
    )
    service.spawn()
    try:
        service.wait_serving(seconds=300)
        deadline = time.monotonic() + 30
        while LAST_LINE not in service.log and time.monotonic() < deadline:
            time.sleep(0.1)
        yield service
    finally:
        interrupt(service)


def interrupt(service: Service) -> None:
    """Send SIGINT to all processes of the terminal, as Ctrl+C does."""
    assert service.process is not None
    if service.process.poll() is not None:
        return
    running = [psutil.Process(service.pid), *psutil.Process(service.pid).children(recursive=True)]
    os.killpg(service.pid, signal.SIGINT)
    _, left = psutil.wait_procs(running, timeout=30)
    service.process.wait(30)
    for process in left:
        process.kill()
    assert left == [], "it outlived Ctrl+C"


def printed_commands(service: Service, *beginnings: str) -> list[str]:
    return [line for line in service.log.splitlines() if line.startswith(beginnings)]


def paste(service: Service, command: str) -> str:
    """Run a line in the folder `make run` was called in, with nothing prepared."""
    environment = {**(service.outside or {}), "EVENT_SERVICE_DATA_DIR": str(service.data_dir)}
    done = subprocess.run(
        ["bash", "-c", command], cwd=service.cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.timeout(400)
def test_its_lines_can_be_pasted(made: Service) -> None:
    assert "for development and small installations" in made.log
    create, listing, counting = printed_commands(made, ".venv/bin/grpcurl")
    assert json.loads(paste(made, create)) == {}
    listed = json.loads(paste(made, listing))
    assert listed["total_count"] == 1
    assert listed["results"][0]["severity"] == "CRITICAL"
    assert json.loads(paste(made, counting)) == {"results": [{"count": 1, "severity": "CRITICAL"}]}
    (sending,) = printed_commands(made, "echo ")
    assert "Stored 1 event." in paste(made, sending)
    if shutil.which("curl"):
        (posting,) = printed_commands(made, "curl ")
        assert json.loads(paste(made, posting)) == {}
    assert len(json.loads(paste(made, listing))["results"]) == (3 if shutil.which("curl") else 2)


def test_the_first_webhook_is_kept_from_others(made: Service) -> None:
    kept = made.data_dir / "first-webhook.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(kept.read_text())["webhook_url"] in made.log


def test_it_leaves_the_command_behind(made: Service) -> None:
    listed = json.loads(paste(made, f".venv/bin/event-service webhook list --json --server {made.grpc_address}"))
    assert [webhook["name"] for webhook in listed["results"]] == ["first"]
