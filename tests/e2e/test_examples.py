"""examples/: each is run as its README says, where its tool is there."""

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.e2e.service import CHECKOUT, Service

EXAMPLES = CHECKOUT / "examples"
MODULES = EXAMPLES / "node" / "node_modules"
TYPESCRIPT = EXAMPLES / "typescript"
TYPESCRIPT_MODULES = TYPESCRIPT / "node_modules"
GO = shutil.which("go")
JAVA = shutil.which("java") and shutil.which("javac")
CURL = shutil.which("curl")


@pytest.fixture
def environment(service: Service, webhook: tuple[str, str]) -> dict[str, str]:
    """Environment of the examples, as in examples/README.md."""
    return service.environment() | {
        "EVENT_SERVICE_HTTP": f"http://{service.http_address}",
        "EVENT_SERVICE_WEBHOOK_ID": webhook[0],
        "EVENT_SERVICE_ACCESS_KEY": webhook[1],
    }


def run(environment: dict[str, str], *command: str | Path) -> str:
    """Run a program that must succeed; return its output."""
    done = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stored(service: Service, environment: dict[str, str]) -> list[str]:
    """Return the titles of the webhook's events."""
    query = {"webhook_id": environment["EVENT_SERVICE_WEBHOOK_ID"], "query": {"page": {"limit": 2000}}}
    return [row["title"] for row in service.call("Event", "list", query).get("results", [])]


def test_send_and_list(service: Service, environment: dict[str, str]) -> None:
    # The stubs of spaceone-api, and none of ours, as where the service is not installed.
    (event_id,) = re.findall(r"event-[0-9a-f]{12}", run(environment, sys.executable, EXAMPLES / "python" / "send.py"))
    assert stored(service, environment) == ["Disk full"]
    listed = run(environment, sys.executable, EXAMPLES / "python" / "list.py")
    assert f"{event_id} Disk full web-1" in listed
    assert "INVALID_ARGUMENT ERROR_DB_QUERY | " in listed
    assert "colour" in listed


def test_watch(service: Service, webhook: tuple[str, str], environment: dict[str, str]) -> None:
    watching = subprocess.Popen(
        [sys.executable, EXAMPLES / "python" / "watch.py", "2"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.3):
            service.create_event(webhook, {"event_key": "k", "title": "seen", "severity": "CRITICAL"})

    sender = threading.Thread(target=send)
    sender.start()
    try:
        out, _ = watching.communicate(timeout=60)
    finally:
        stop.set()
        sender.join()
        watching.kill()
    assert watching.returncode == 0
    assert re.fullmatch(r"(\S+Z .+\n){2}", out)


def test_batching(service: Service, environment: dict[str, str]) -> None:
    said = run(environment, sys.executable, EXAMPLES / "python" / "batching.py", "150")
    assert said.startswith("150 events stored")
    assert len(stored(service, environment)) == 150


def test_grpcurl(service: Service, environment: dict[str, str]) -> None:
    for _ in range(2):
        shown = run(environment, EXAMPLES / "shell" / "grpcurl.sh")
    assert '"title": "Backup failed"' in shown
    assert '"severity": "ERROR"' in shown
    assert stored(service, environment) == ["Backup failed"]  # the second run repeats the idempotency key


@pytest.mark.skipif(CURL is None, reason="curl is not everywhere")
def test_curl(service: Service, environment: dict[str, str]) -> None:
    assert "Certificate ends in 3 days" in run(environment, EXAMPLES / "shell" / "curl.sh")
    assert stored(service, environment) == ["Certificate ends in 3 days"]


@pytest.mark.skipif(not MODULES.exists() or not shutil.which("node"), reason="npm install --prefix examples/node")
def test_node(service: Service, environment: dict[str, str]) -> None:
    assert "Mail queue is long" in run(environment, "node", EXAMPLES / "node" / "events.js")
    assert stored(service, environment) == ["Mail queue is long"]


@pytest.mark.skipif(GO is None, reason="there is no Go")
def test_go(service: Service, environment: dict[str, str], tmp_path: Path) -> None:
    caches = {"GOCACHE": str(tmp_path / "cache"), "GOFLAGS": "-mod=mod", "HOME": os.environ.get("HOME", str(tmp_path))}
    assert "Connection pool is empty" in run(environment | caches, "go", "run", EXAMPLES / "go" / "main.go")
    assert stored(service, environment) == ["Connection pool is empty"]


@pytest.mark.skipif(JAVA is None, reason="there is no JDK")
def test_java(service: Service, environment: dict[str, str]) -> None:
    assert "Heap is almost full" in run(environment, "java", EXAMPLES / "java" / "Events.java")
    assert stored(service, environment) == ["Heap is almost full"]


@pytest.mark.skipif(not TYPESCRIPT_MODULES.exists() or not shutil.which("node"), reason="npm install there")
def test_typescript(service: Service, environment: dict[str, str]) -> None:
    run(environment, TYPESCRIPT / "generate.sh")
    run(environment, TYPESCRIPT_MODULES / ".bin" / "tsc", "--project", TYPESCRIPT)
    assert "Cache misses are rising" in run(environment, "node", (TYPESCRIPT / "out" / "events.ts").with_suffix(".js"))
    assert stored(service, environment) == ["Cache misses are rising"]


def test_every_example_is_listed_and_run() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    tests = Path(__file__).read_text(encoding="utf-8")
    files = [path for path in EXAMPLES.rglob("*") if path.suffix in (".py", ".sh", ".js", ".ts", ".go", ".java")]
    own = [path for path in files if not {"node_modules", "gen", "out"} & set(path.parts)]
    assert len(own) == 11
    for path in own:
        assert str(path.relative_to(CHECKOUT)) in text
        assert path.name in tests
