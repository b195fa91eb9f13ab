"""Apprise's command line, with the line of docs/collectors.md."""

import os
import subprocess

import pytest

from tests.e2e.deliveries import Collectors
from tests.e2e.senders.conftest import FOLDER, Sender
from tests.e2e.senders.documented import lines


@pytest.mark.parametrize("scheme", ["json", "form", "xml"])
def test_failure_and_success(collectors: Collectors, scheme: str) -> None:
    sender = Sender(collectors, "Apprise")
    command = lines("Apprise", "sh", "apprise -t", "$WEBHOOK_URL").replace("#http/json", f"#http/{scheme}")
    path = f"{FOLDER / 'python' / 'bin'}:{os.environ['PATH']}"
    for kind in ("failure", "success"):
        subprocess.run(
            ["bash", "-ec", command.replace("-n failure", f"-n {kind}")],
            env={**os.environ, "PATH": path, "WEBHOOK_URL": sender.url},
            check=True,
        )
    sender.check("apprise")
    assert sender.events[0]["title"] == "Disk full on db-1"
