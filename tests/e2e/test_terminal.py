"""Every command in a terminal: tables, bars and colours; no colours with NO_COLOR and in pipes.

All commands run in one test per mode, since starting programs takes most of the time.
"""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.e2e.service import BIN, Service
from tests.e2e.terminal import SEQUENCE, in_a_terminal, plain

Commands = dict[str, tuple[list[str], str]]
"""Commands by what is looked at, each with a pattern for what it prints without its colours."""

PAYLOAD = {"event_key": "k", "title": "Disk full", "severity": "CRITICAL"}

COLOURED = re.compile(r"\x1b\[(?:\d+;)*(?:[34][0-7]|9[0-7])(?:;\d+)*m")


@pytest.fixture(scope="module")
def sender(service: Service) -> tuple[str, str]:
    """A webhook that was sent an event."""
    webhook = service.create_webhook("terminal")
    service.create_event(webhook, PAYLOAD)
    return webhook


@pytest.fixture(scope="module")
def commands(service: Service, sender: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Commands:
    payload = tmp_path_factory.mktemp("terminal") / "payload.json"
    payload.write_text(json.dumps(PAYLOAD))
    (event,) = service.call("Event", "list", {"webhook_id": sender[0]})["results"]
    this = f"webhook={sender[0]}"
    return {
        "list": (["event", "list", this], r"RECEIVED +SEVERITY[^\n]+\n.*CRITICAL +ALERT +Disk full"),
        "get": (["event", "get", event["event_id"]], r"severity +CRITICAL(.|\n)*raw_data\n\{"),
        "stat": (["event", "stat", this], r"SEVERITY +EVENTS *\nCRITICAL +\d+ +█+"),
        "tail": (["event", "tail", this, "-n", "1"], r"CRITICAL  ALERT  Disk full"),
        "export": (["event", "export", this, "-o"], r"contains \d+ events?"),
        "webhook get": (["webhook", "get", sender[0]], r"state +ENABLED"),
        "webhook test": (["webhook", "test", sender[0], str(payload)], r"Disk full"),
        "doctor": (["doctor"], r"server +"),
        "failure": (["event", "list", "colour=red"], "error: .*colour"),
    }


def keep_sending(service: Service, webhook: tuple[str, str], stop: Event) -> None:
    while not stop.wait(0.3):
        service.create_event(webhook, PAYLOAD)


def run_all(
    service: Service, webhook: tuple[str, str], commands: Commands, folder: Path, **more: str
) -> dict[str, str]:
    """Return the output of each command in a terminal; run two at a time."""

    def show(name: str) -> str:
        arguments = list(commands[name][0])
        if name == "export":
            arguments.append(str(folder / "events.csv"))
        stop = Event()
        if name == "tail":  # it shows new events only, so that a sender must run
            Thread(target=keep_sending, args=(service, webhook, stop), daemon=True).start()
        settings = {key: value for key, value in service.environment().items() if key.startswith("EVENT_SERVICE_")}
        try:
            return in_a_terminal(*arguments, status=name == "failure", **settings, **more)
        finally:
            stop.set()

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(commands, pool.map(show, commands), strict=True))


def test_colours_and_tables(service: Service, sender: tuple[str, str], commands: Commands, tmp_path: Path) -> None:
    shown = run_all(service, sender, commands, tmp_path)
    for name, (_, pattern) in commands.items():
        text = plain(shown[name]).replace("\r", "")
        assert re.search(pattern, text), f"{name}: {text}"
        assert max(map(len, text.splitlines())) <= 120 or name == "export", name
    assert [name for name in commands if not COLOURED.search(shown[name])] == []


def test_no_color(service: Service, sender: tuple[str, str], commands: Commands, tmp_path: Path) -> None:
    some = {name: commands[name] for name in ("list", "get", "failure")}
    shown = run_all(service, sender, some, tmp_path, NO_COLOR="1")
    assert [name for name in some if COLOURED.search(shown[name])] == []


def test_a_pipe_gets_text(service: Service, commands: Commands) -> None:
    for name in ("list", "failure"):
        done = subprocess.run(
            [BIN / "event-service", *commands[name][0]],
            env=service.environment() | {"TERM": "xterm-256color"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not SEQUENCE.search(done.stdout + done.stderr)
