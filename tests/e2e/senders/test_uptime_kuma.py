"""Uptime Kuma's own notification provider."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.deliveries import Collectors
from tests.e2e.senders.conftest import FOLDER, Sender


@pytest.mark.parametrize("content_type", ["json", "form-data"])
def test_down_and_up(collectors: Collectors, content_type: str) -> None:
    sender = Sender(collectors, "Uptime Kuma")
    program = FOLDER / "uptime-kuma" / "uptime_kuma.js"
    shutil.copy(Path(__file__).with_name("uptime_kuma.js"), program)
    environment = os.environ | {"NODE_PATH": str(FOLDER / "node" / "node_modules")}
    subprocess.run(["node", program, sender.url, content_type], env=environment, check=True)
    sender.check("uptime-kuma")
    assert len(sender.events) == 2
