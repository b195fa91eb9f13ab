"""Monit's daemon: a file that grows over its limit and shrinks again."""

from pathlib import Path

from tests.e2e.deliveries import Collectors
from tests.e2e.senders.conftest import DEBIAN, Sender, running
from tests.e2e.senders.documented import lines


def test_failed_and_succeeded(collectors: Collectors, tmp_path: Path) -> None:
    sender = Sender(collectors, "Monit", timezone="UTC")
    program, watched = tmp_path / "monit-event-service", tmp_path / "data"
    program.write_text(lines("Monit", "sh", "MONIT_HOST", sender.url))
    program.chmod(0o755)
    check = lines("Monit", "", "check filesystem", "").replace("/usr/local/bin/monit-event-service", str(program))
    check = check.replace("filesystem data", "file data").replace("/srv/data", str(watched))
    control = tmp_path / "monitrc"
    files = "".join(f"set {name}file {tmp_path / name}\n" for name in ("id", "state", "pid"))
    control.write_text("set daemon 1\n" + files + check.replace("space usage > 90%", "size > 10 B"))
    control.chmod(0o600)
    watched.write_text("far too large for the limit")
    command = [DEBIAN / "usr/bin/monit", "-I", "-c", control]
    with running(command, tmp_path, TZ="UTC") as log:
        sender.wait_for("ALERT", log)
        watched.write_text("small")
        sender.wait_for("RECOVERY", log)
    sender.check("monit")
    assert sender.events[0]["title"] == "data: Size"
