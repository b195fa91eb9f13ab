"""The command line against a running server: output, JSON, errors."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import CommandLine, Run
from tests.e2e.service import BIN, Service
from tests.e2e.terminal import in_a_terminal


@pytest.fixture
def payload(tmp_path: Path) -> Callable[..., str]:
    """Write a payload to a file and gives its path."""

    def write(**fields: Any) -> str:
        path = tmp_path / f"payload-{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(fields))
        return str(path)

    return write


def test_the_life_of_a_webhook(run: CommandLine, payload: Callable[..., str]) -> None:
    made = run(
        "webhook", "create", "--name", "grafana", "--project-id", "project-9", "--workspace-id", "workspace-1",
        "--option", "duplicate_event_time=60", "--tag", "floor=2", "--json",
    ).json  # fmt: skip
    assert {"webhook_id", "access_key", "webhook_url"} <= made.keys()
    assert made["plugin_info"]["options"] == {"duplicate_event_time": 60}
    webhook_id = made["webhook_id"]
    send = ("event", "send", payload(event_key="k"), "--webhook-id", webhook_id)
    assert run(*send, "--access-key", made["access_key"], "--json").json["event_count"] == 1

    seen = run("webhook", "get", webhook_id, "--json").json
    assert seen["requests"] == {"total": 1, "error": 0}
    assert made["access_key"] not in json.dumps(seen)
    assert (
        run("webhook", "update", webhook_id, "--name", "grafana 2", "--tag", "floor=3", "--json").json["name"]
        == "grafana 2"
    )
    changed = run("webhook", "update-plugin", webhook_id, "--option", "auto_recovery=false", "--json").json
    assert changed["plugin_info"]["options"] == {"auto_recovery": False}
    assert run("webhook", "verify-plugin", webhook_id).status == 0

    assert run("webhook", "disable", webhook_id, "--json").json["state"] == "DISABLED"
    refused = run(*send, "--access-key", made["access_key"])
    assert refused.status == 1
    assert "Webhook state is disabled" in refused.err
    assert run("webhook", "list", f"id={webhook_id}", "state=DISABLED", "--json").json["total_count"] == 1
    assert run("webhook", "enable", webhook_id, "--json").json["state"] == "ENABLED"

    rotated = run("webhook", "rotate-key", webhook_id, "--overlap", "60", "--json").json
    assert rotated["access_key"] != made["access_key"]
    assert rotated["previous_key_expires_at"]
    for key in (made["access_key"], rotated["access_key"]):
        assert run(*send, "--access-key", key).status == 0
    again = run("webhook", "rotate-key", webhook_id, "--json").json
    assert run(*send, "--access-key", rotated["access_key"]).status == 1
    assert run(*send, "--access-key", again["access_key"]).status == 0

    assert run("webhook", "delete", webhook_id, "--json").json == {"webhook_id": webhook_id}
    gone = run("webhook", "get", webhook_id)
    assert gone.status == 1
    assert "cannot be found" in gone.err


def test_what_people_see_of_a_webhook(run: CommandLine) -> None:
    made = run("webhook", "create", "--name", "for people", "--project-id", "project-1")
    (webhook_id,) = re.findall(r"webhook-[0-9a-f]{12}", made.out.splitlines()[0])
    assert "not shown again" in made.out
    listed = run("webhook", "list", "name=for people")
    assert listed.out.splitlines()[0].split() == ["WEBHOOK", "STATE", "PARSER", "CALLS", "ERRORS", "PROJECT", "NAME"]
    assert re.search(rf"{webhook_id} +ENABLED +auto +0 +0 +project-1 +for people", listed.out)
    assert "1 of 1" in listed.out
    assert "is valid until" in run("webhook", "rotate-key", webhook_id, "--overlap", "5").out
    assert "no longer valid" in run("webhook", "rotate-key", webhook_id).out
    assert webhook_id in run("webhook", "disable", webhook_id).out
    assert "accepts" in run("webhook", "verify-plugin", webhook_id).out
    assert re.search(r"DISABLED +1", run("webhook", "stat", f"id={webhook_id}").out)
    assert run("webhook", "stat", "--by", "name", f"id={webhook_id}", "--json").json == {
        "results": [{"value": "for people", "count": 1}]
    }
    assert "is deleted" in run("webhook", "delete", webhook_id, "--yes").out


@pytest.fixture
def sent(run: CommandLine, payload: Callable[..., str], webhook: tuple[str, str]) -> str:
    """Return the id of a webhook that was sent three events."""
    to = ("--webhook-id", webhook[0], "--access-key", webhook[1])
    for fields in (
        {"event_key": "cpu", "title": "CPU high", "severity": "CRITICAL", "resources": ["web-1"], "load": 0.97},
        {"event_key": "disk", "title": "Disk nearly full", "severity": "WARNING", "load": 0.2},
        {"event_key": "cpu", "event_type": "RECOVERY", "title": "CPU fine", "load": 0.1},
    ):
        assert run("event", "send", payload(**fields), *to).status == 0
    return webhook[0]


@pytest.mark.parametrize(
    ("conditions", "titles"),
    [
        ((), ["CPU fine", "Disk nearly full", "CPU high"]),
        (("severity=critical",), ["CPU high"]),
        (("severity=critical,warning",), ["Disk nearly full", "CPU high"]),
        (("severity!=CRITICAL", "title~FULL"), ["Disk nearly full"]),
        (("title!~cpu",), ["Disk nearly full"]),
        (("type=RECOVERY",), ["CPU fine"]),
        (("resource=web-1",), ["CPU high"]),
        (("raw_data.load>0.1",), ["Disk nearly full", "CPU high"]),
        (("raw_data.load<=0.2", "key=cpu"), ["CPU fine"]),
        (("since=1h",), ["CPU fine", "Disk nearly full", "CPU high"]),
        (("until=1h",), []),
        (("since=2020-01-01", "until=2020-02-01"), []),
        (("--sort", "title"), ["CPU fine", "CPU high", "Disk nearly full"]),
        (("--sort", "-title", "--limit", "1"), ["Disk nearly full"]),
        (("--start", "3"), ["CPU high"]),
        (("--keyword", "fine nearly"), ["CPU fine", "Disk nearly full"]),
    ],
)
def test_list(run: CommandLine, sent: str, conditions: tuple[str, ...], titles: list[str]) -> None:
    rows = run("event", "list", f"webhook={sent}", *conditions, "--json").json["results"]
    assert [row["title"] for row in rows] == titles


def test_what_people_see_of_events(run: CommandLine, sent: str) -> None:
    listed = run("event", "list", f"webhook={sent}").out
    lines = listed.splitlines()
    assert lines[0].split() == ["RECEIVED", "SEVERITY", "TYPE", "TITLE", "RESOURCES", "EVENT", "ALERT"]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +CRITICAL +ALERT +CPU high +web-1 +event-", lines[3])
    assert lines[4] == "3 of 3"
    event_id = re.findall(r"event-[0-9a-f]{12}", lines[3])[0]
    shown = run("event", "get", event_id).out
    assert "CPU high" in shown
    assert '"load": 0.97' in shown
    assert run("event", "get", event_id, "--json").json["event_id"] == event_id


def test_stat(run: CommandLine, sent: str) -> None:
    counted = run("event", "stat", f"webhook={sent}", "--by", "key", "--json").json["results"]
    assert counted == [{"key": "cpu", "count": 2}, {"key": "disk", "count": 1}]
    shown = run("event", "stat", f"webhook={sent}", "--by", "key").out.splitlines()
    assert re.fullmatch(r"cpu +2 +█{30}\s*", shown[1])
    assert re.fullmatch(r"disk +1 +█{15}\s*", shown[2])
    by_time = run("event", "stat", f"webhook={sent}", "--by", "day,severity", "--json").json["results"]
    assert {row["severity"]: row["count"] for row in by_time} == {"CRITICAL": 1, "WARNING": 1, "NONE": 1}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", row["day"]) for row in by_time)
    assert run("event", "stat", "--by", ",").status == 2


def test_send_says_what_became_of_it(run: CommandLine, payload: Callable[..., str], webhook: tuple[str, str]) -> None:
    send = ("event", "send", "--webhook-id", webhook[0], "--access-key", webhook[1])
    first = run(*send, payload(event_key="k"), "--idempotency-key", "once", "--json").json
    assert first | {"event_ids": []} == {"event_count": 1, "event_ids": [], "duplicate": False, "errors": []}
    assert run(*send, payload(event_key="k"), "--idempotency-key", "once", "--json").json["duplicate"]
    assert "stored before" in run(*send, payload(event_key="k"), "--idempotency-key", "once").out
    assert "Not parsed" in run(*send, payload(severity="AWFUL")).out
    assert "Stored 2 events" in run(*send, payload(results=[{"event_key": "a"}, {"event_key": "b"}])).out
    assert "nothing to store" in run(*send, payload(results=[])).out


def test_send_takes_the_first_webhook_and_standard_input(service: Service) -> None:
    done = subprocess.run(
        [BIN / "event-service", "event", "send"],
        env=service.environment(), input='{"event_key": "from a pipe"}', capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "Stored 1 event." in done.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"a": NaN}', "NaN"),
        (b"\xff", "is not JSON"),
        (None, "Cannot read"),
    ],
)
def test_a_payload_that_is_none(run: CommandLine, tmp_path: Path, content: str | bytes | None, said: str) -> None:
    path = tmp_path / "payload.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run("event", "send", str(path), "--webhook-id", "w", "--access-key", "k")
    assert done.status == 2
    assert said in done.err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("event", "get", "event-000000000000"), 1, "cannot be found"),
        (("event", "list", "colour=red"), 1, "colour"),
        (("event", "list", "created_at>yesterday"), 1, "query.filter[0]"),
        (("event", "list", "since=yesterday"), 2, "Use for example since=2h, since=7d or since=2026-01-31."),
        (("event", "list", "severty=CRITICAL"), 1, "did you mean 'severity'?"),
        (("event", "list", "severity"), 2, "not a condition"),
        (("event", "send", "-", "--webhook-id", "w"), 2, "--access-key is missing"),
        (("event", "list", "--server", "127.0.0.1:1"), 3, "No server at 127.0.0.1:1"),
        (("event", "list", "--ca-file", "absent.pem"), 2, "Cannot read absent.pem"),
        (("webhook", "update-plugin", "webhook-1", "--upgrade-mode", "ODD"), 2, "--upgrade-mode ODD does not exist"),
        (("webhook", "create"), 2, "--name"),
        (("webhook", "nonsense"), 2, "nonsense"),
    ],
)
def test_errors_are_reported(run: CommandLine, arguments: tuple[str, ...], status: int, said: str) -> None:
    done = run(*arguments)
    assert done.status == status
    assert said in done.err
    assert done.out == ""


@pytest.fixture
def alerts(run: CommandLine, sent: str) -> list[str]:
    """Return the ids of the open alert, and of the resolved one."""
    rows = run("alert", "list", f"webhook={sent}", "--all", "--json").json["results"]
    return [row["alert_id"] for row in sorted(rows, key=lambda row: row["title"], reverse=True)]


def test_open_alerts_are_listed(run: CommandLine, sent: str, alerts: list[str]) -> None:
    lines = run("alert", "list", f"webhook={sent}", "since=1h").out.splitlines()
    assert lines[0].split() == ["OPENED", "SEVERITY", "STATE", "TITLE", "RESOURCES", "EVENTS", "ASSIGNEE", "ALERT"]
    assert re.search(rf"WARNING +TRIGGERED +Disk nearly full +1 +{alerts[0]}", lines[1])
    assert lines[2:] == ["1 of 1"]
    (resolved,) = run("alert", "list", f"webhook={sent}", "state=resolved", "--json").json["results"]
    assert (resolved["title"], resolved["event_count"], resolved["resolved_by"]) == ("CPU high", 2, "RECOVERED")
    assert "has no value 'DISABLED'" in run("alert", "list", "state=DISABLED").err


def test_alert_is_shown(run: CommandLine, alerts: list[str]) -> None:
    shown = run("alert", "get", alerts[1]).out
    assert re.search(r"^title +CPU high$", shown, re.MULTILINE)
    assert re.search(r"^event_count +2$", shown, re.MULTILINE)
    assert re.search(r"^resources +web-1$", shown, re.MULTILINE)
    assert run("alert", "get", alerts[1], "--json").json["state"] == "RESOLVED"
    assert run("alert", "get", "alert-000000000000").status == 1


def test_alert_states_are_set(run: CommandLine, sent: str, alerts: list[str]) -> None:
    assert run("alert", "ack", alerts[0]).out == f"{alerts[0]} is ACKNOWLEDGED.\n"
    refused = run("alert", "ack", *alerts, "--yes")
    assert refused.status == 1
    assert refused.out == f"{alerts[0]} is ACKNOWLEDGED.\n"
    assert refused.err.startswith(f"error: {alerts[1]}: ")
    both = run("alert", "ack", *alerts, "--json")
    assert both.status == 1
    assert [row["alert_id"] for row in json.loads(both.out)["results"]] == [alerts[0]]
    assert [row["alert_id"] for row in json.loads(both.out)["errors"]] == [alerts[1]]
    assert run("alert", "resolve", "--filter", f"webhook={sent}", "--filter", "title~disk").status == 0
    assert run("alert", "resolve", "--filter", f"webhook={sent}").out == "No alerts match.\n"
    unanswered = run("alert", "reopen", "--filter", f"webhook={sent}")
    assert (unanswered.status, unanswered.out) == (2, "")
    assert "Disk nearly full" in unanswered.err
    done = run("alert", "reopen", "--filter", f"webhook={sent}", "--json").json
    assert {row["state"] for row in done["results"]} == {"TRIGGERED"}
    assert len(done["results"]) == 2
    assert run("alert", "resolve").status == 2
    assert run("alert", "resolve", alerts[0], "--filter", "severity=INFO").status == 2


def test_alerts_are_counted(run: CommandLine, sent: str) -> None:
    counted = run("alert", "stat", f"webhook={sent}", "--by", "state,severity", "--all", "--json").json["results"]
    assert {(row["state"], row["severity"]) for row in counted} == {("RESOLVED", "CRITICAL"), ("TRIGGERED", "WARNING")}
    shown = run("alert", "stat", f"webhook={sent}").out.splitlines()
    assert shown[0].split() == ["SEVERITY", "ALERTS"]
    assert re.fullmatch(r"WARNING +1 +█{30}\s*", shown[1])


COMMANDS = {
    "webhook": "create get list update update-plugin verify-plugin enable disable rotate-key delete stat",
    "event": "send list get stat tail export replay",
    "alert": "list get ack resolve reopen stat tail",
    "token": "keygen issue",
    "db": "check migrate backup restore",
}


@pytest.mark.parametrize("group", COMMANDS)
def test_every_command_explains_itself(run: CommandLine, group: str) -> None:
    assert group in run("--help").out
    overview = run(group, "--help").out
    for command in COMMANDS[group].split():
        assert command in overview
        assert run(group, command, "--help").status == 0


def test_health_and_doctor(run: CommandLine, service: Service) -> None:
    assert run("health") == Run(0, "SERVING\n", "")
    assert run("health", "--server", "127.0.0.1:1") == Run(3, "UNREACHABLE\n", "")
    findings = {finding["what"]: finding for finding in run("doctor", "--json").json}
    assert findings["server"]["verdict"] == "ok"
    assert service.grpc_address in findings["server"]["detail"]
    assert "embedded" in findings["database"]["detail"]
    assert "for production" in run("doctor").out.lower()


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("EVENT_SERVICE_LIST_LIMIT", "few", "settings"),
        ("EVENT_SERVICE_AUTH", "jwt", "authentication"),
        ("EVENT_SERVICE_GRPC_ADDRESS", "0.0.0.0:50051", "authentication"),
        ("EVENT_SERVICE_DATA_DIR", "/proc/nowhere", "data directory"),
    ],
)
def test_doctor_finds_what_is_wrong(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str, value: str, what: str
) -> None:
    monkeypatch.setenv(name, value)
    done = run("doctor", "--json")
    assert done.status == 1
    (fault,) = [finding for finding in json.loads(done.out) if finding["verdict"] == "fault"]
    assert fault["what"] == what
    assert fault["advice"]


def test_severities_have_colours_in_a_terminal(service: Service, sent: str) -> None:
    listed = in_a_terminal("event", "list", f"webhook={sent}", EVENT_SERVICE_SERVER=service.grpc_address)
    assert re.search("\x1b\\[[0-9;]*41m *CRITICAL", listed)
    assert all(len(re.sub("\x1b\\[[0-9;]*m", "", line)) <= 120 for line in listed.split("\r\n"))
    plain = in_a_terminal("event", "list", f"webhook={sent}", EVENT_SERVICE_SERVER=service.grpc_address, NO_COLOR="1")
    assert not re.search("\x1b\\[[0-9;]*[34]1m", plain)
