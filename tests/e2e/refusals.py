"""Starts of `event-service serve` that must not work."""

import subprocess
from pathlib import Path

from tests.e2e.service import BIN, clean_environment, free_port


def refused_start(tmp_path: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Start a service that must fail within 60 s, by default on free ports."""
    defaults = {
        "EVENT_SERVICE_DATA_DIR": str(tmp_path / "data"),
        "EVENT_SERVICE_GRPC_ADDRESS": f"127.0.0.1:{free_port()}",
        "EVENT_SERVICE_HTTP_ADDRESS": f"127.0.0.1:{free_port()}",
    }
    return subprocess.run(
        [BIN / "event-service", "serve", *arguments],
        env=clean_environment(**(defaults | settings)), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def assert_one_clear_line(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert said in errors[0], done.stderr
    assert "Traceback" not in done.stderr
