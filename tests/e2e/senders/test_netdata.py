"""Netdata's alarm-notify.sh, which sends a warning, a critical and a clear alarm as its test."""

import os
import subprocess
from pathlib import Path

from tests.e2e.deliveries import Collectors
from tests.e2e.senders.conftest import DEBIAN, Sender
from tests.e2e.senders.documented import lines


def test_warning_critical_and_clear(collectors: Collectors, tmp_path: Path) -> None:
    sender = Sender(collectors, "Netdata")
    (tmp_path / "health_alarm_notify.conf").write_text(lines("Netdata", "sh", "custom_sender", sender.url))
    folders = {
        "NETDATA_USER_CONFIG_DIR": str(tmp_path),
        "NETDATA_STOCK_CONFIG_DIR": str(DEBIAN / "usr/lib/netdata/conf.d"),
        "NETDATA_CACHE_DIR": str(tmp_path),
        "NETDATA_REGISTRY_URL": "https://netdata.example.org",
        "NETDATA_HOST_PREFIX": "",
    }
    script = DEBIAN / "usr/lib/netdata/plugins.d/alarm-notify.sh"
    done = subprocess.run(
        ["bash", script, "test"], env=os.environ | folders, capture_output=True, text=True, check=False
    )
    assert len(sender.events) == 3, done.stdout + done.stderr
    sender.check("netdata")
    assert [event["severity"] for event in sender.events[:2]] == ["WARNING", "CRITICAL"]
