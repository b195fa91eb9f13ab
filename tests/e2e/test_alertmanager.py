"""The real Alertmanager, configured as docs/collectors.md says, delivers to a running service."""

import os
import re
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.deliveries import Collectors
from tests.e2e.service import CHECKOUT, free_port
from tests.waiting import wait_until

TOOLS = CHECKOUT / ".tools"
PROGRAM = TOOLS / "bin" / "prometheus-alertmanager"
PROOT = TOOLS / "bin" / "proot"
DOCUMENTED = (CHECKOUT / "docs" / "collectors.md").read_text()

pytestmark = [
    pytest.mark.xdist_group("collectors"),
    pytest.mark.skipif(not (PROGRAM.exists() and PROOT.exists()), reason="make test-tools has not unpacked it"),
]

Row = dict[str, Any]


class Alertmanager:
    """One Alertmanager in a folder of its own, which sends at once and again every second."""

    def __init__(self, folder: Path, webhook_url: str) -> None:
        self._folder = folder
        self._url = f"http://127.0.0.1:{free_port()}"
        found = re.search(r"`alertmanager.yml`:\n\n```yaml\n(.*?)```", DOCUMENTED, re.DOTALL)
        assert found is not None
        written = found[1].replace("$WEBHOOK_URL", webhook_url)
        quick = "receiver: event-service\n  group_wait: 0s\n  group_interval: 1s\n"
        (folder / "alertmanager.yml").write_text(written.replace("receiver: event-service\n", quick, 1))

    def __enter__(self) -> "Alertmanager":
        # Debian's looks for its templates below /usr/share, where only root could put them.
        share = TOOLS / "debian" / "usr" / "share" / "prometheus"
        command = [
            PROOT, "-b", f"{share}:/usr/share/prometheus",
            PROGRAM, "--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address=",
            f"--web.listen-address={self._url.removeprefix('http://')}",
        ]  # fmt: skip
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                list(map(str, command)), cwd=self._folder, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._is_ready, 30, (self._folder / "log").read_text)
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def send(self, *alerts: Row) -> None:
        """Post all firing alerts, and resolved ones with `endsAt`, as Prometheus does."""
        answer = httpx.post(f"{self._url}/api/v2/alerts", json=alerts)
        assert answer.status_code == 200, answer.text

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self._url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False


def alert(instance: str, **times: datetime) -> Row:
    return {
        "labels": {"alertname": "DiskFull", "severity": "page", "instance": instance, "job": "node"},
        "annotations": {"summary": f"Disk of {instance} is full", "description": "Only 3 % left."},
        "generatorURL": "http://prometheus.example/graph",
        **{name: at.isoformat() for name, at in times.items()},
    }


def test_firing_and_resolved_are_one_alert_opened_and_resolved(collectors: Collectors, tmp_path: Path) -> None:
    webhook_id, url = collectors.webhook("alertmanager")

    def of(instance: str, number: int) -> list[Row]:
        """Return the events about an instance, once there are so many."""

        def there() -> list[Row]:
            return [row for row in collectors.events(webhook_id) if row["resources"] == [instance]]

        wait_until(lambda: len(there()) >= number, 30, there)
        return there()

    one, other = "node-1:9100", "node-2:9100"
    began = datetime.now(UTC)
    with Alertmanager(tmp_path, url) as sender:
        sender.send(alert(one, startsAt=began), alert(other, startsAt=began))
        (fired,) = of(one, 1)
        assert (fired["event_type"], fired["severity"]) == ("ALERT", "CRITICAL")
        assert (fired["title"], fired["rule"]) == (f"Disk of {one} is full", "DiskFull")
        assert fired["occurred_at"] == told(began)

        # The group goes on firing while one of its alerts is resolved.
        ended = datetime.now(UTC)
        sender.send(alert(one, startsAt=began, endsAt=ended))
        (_, resolved) = of(one, 2)
        assert (resolved["event_type"], resolved["severity"]) == ("RECOVERY", "CRITICAL")
        assert (resolved["event_key"], resolved["alert_id"]) == (fired["event_key"], fired["alert_id"])
        assert resolved["occurred_at"] == told(ended)

        # What fires again opens another alert: so the first was resolved. The other's is open still.
        sender.send(alert(one, startsAt=datetime.now(UTC)))
        again = of(one, 3)[2]
        assert (again["event_key"], again["event_type"]) == (fired["event_key"], "ALERT")
        assert again["alert_id"] not in ("", fired["alert_id"])
        goes_on = of(other, 2)
        assert {row["event_type"] for row in goes_on} == {"ALERT"}
        assert len({row["alert_id"] for row in goes_on} | {fired["alert_id"], again["alert_id"]}) == 3
    statistics = collectors.ask("/event_service/v1/webhooks/statistics", webhook_id=webhook_id)
    assert int(statistics["stored"]) == len(collectors.events(webhook_id))
    assert statistics.get("errors", "0") == "0"


def told(at: datetime) -> str:
    """Return the time as an event tells it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
