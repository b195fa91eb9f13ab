"""Inputs that went wrong for people, replayed against a running service by the program beside them."""

import subprocess
import sys

import pytest

from tests.e2e.service import BIN, CHECKOUT, Service, clean_environment

REPLAY = CHECKOUT.parent / "shared" / "reports" / "replay.py"


@pytest.mark.skipif(not REPLAY.exists(), reason="the reports are not beside this checkout")
def test_every_report_is_right(service: Service) -> None:
    addresses = ["--http", service.http_address, "--grpc", service.grpc_address]
    command = [sys.executable, str(REPLAY), *addresses, "--cli", str(BIN / "event-service")]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False, timeout=110)
    print(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
