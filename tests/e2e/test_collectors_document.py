"""docs/collectors.md, line by line where a tool can be imitated: what it says to paste works at a running service."""

import json
import re
import shlex
from datetime import UTC, datetime
from typing import Any

import httpx

from tests.e2e.commands import CommandLine
from tests.e2e.deliveries import Collectors
from tests.e2e.service import CHECKOUT
from tests.unit.normalize.test_docs import TEXT, block

PAYLOADS = CHECKOUT / "tests" / "unit" / "normalize" / "payloads"


def words(command: str) -> list[str]:
    """A documented command as a shell would split it."""
    return shlex.split(command.replace("\\\n", " "), comments=True)


def curl(command: str, url: str) -> httpx.Response:
    """Return the request that curl would send."""
    program, address, *arguments = words(command)
    assert (program, address) == ("curl", "$WEBHOOK_URL")
    headers = {"content-type": "application/x-www-form-urlencoded"}
    body = ""
    for option, value in zip(arguments[::2], arguments[1::2], strict=True):
        if option == "-H":
            name, _, text = value.partition(":")
            headers[name.strip()] = text.strip()
        else:
            assert option == "-d"
            body = value
    return httpx.post(url, content=body, headers=headers, timeout=30)


def payload(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())
    return read


def test_the_first_command(run: CommandLine, collectors: Collectors) -> None:
    first = re.search(r"```\n(event-service webhook create .*)\n→", TEXT)
    assert first is not None
    made = run(*words(first[1])[1:], "--json").json
    assert made["plugin_info"]["plugin_id"] == "auto"
    assert collectors.post(made["webhook_url"], payload("alertmanager-firing")).headers["event-count"] == "2"


def test_every_parser_of_the_table_can_be_named(collectors: Collectors) -> None:
    table = TEXT[TEXT.index("| `--plugin` |") : TEXT.index("Any other name is a")]
    rows = re.findall(r"^\| `([a-z][a-z-]+)` \|.*\| (.*)\|$", table, re.MULTILINE)
    names = [name for name, _ in rows] + re.findall(r"`(plugin-[a-z-]+)`", "".join(ids for _, ids in rows))
    assert len(names) > 20
    for name in names:
        options = {"mapping": {"title": "name"}} if name == "mapping" else {}
        collectors.webhook(f"document {name}", name, **options)


def test_every_option_is_taken(run: CommandLine) -> None:
    given = [option.replace("…", "x") for option in re.findall(r"--option ('[^']*'|[^\s`)]+)", TEXT)]
    options = [word for option in given for word in shlex.split(option)]
    names = {option.partition("=")[0] for option in options}
    assert names >= {"sns_topics", "ignore_insufficient_data", "timezone", "pagerduty_secrets", "sentry_client_secret"}
    for number, option in enumerate(options):
        if not option.startswith("endpoint="):  # which is somewhere else
            create = ("webhook", "create", "--name", f"option {number}", "--project-id", "project-1")
            assert run(*create, "--option", option, "--json").status == 0, option


def test_a_cluster_of_alertmanagers(collectors: Collectors) -> None:
    webhook_id, url = collectors.webhook("cluster")
    firing = payload("alertmanager-firing")
    first, second = collectors.post(url, firing), collectors.post(url, firing)
    assert "event-duplicate" not in first.headers
    assert second.headers["event-duplicate"] == "true"
    for alert in firing["alerts"]:
        alert.update(status="resolved", endsAt=datetime.now(UTC).isoformat())
    collectors.post(url, firing)
    late = payload("alertmanager-firing") | {"receiver": "another"}
    assert collectors.post(url, late).headers["event-count"] == "2"
    rows = collectors.events(webhook_id)
    assert [row["event_type"] for row in rows] == ["ALERT"] * 2 + ["RECOVERY"] * 2 + ["ALERT"] * 2
    assert len({row["alert_id"] for row in rows}) == 2, "what is sent again after its recovery opens nothing"


def test_raw_message_delivery(collectors: Collectors) -> None:
    webhook_id, url = collectors.webhook("raw delivery")
    message = json.loads(payload("aws-sns-cloudwatch-alarm")["Message"])
    for _ in range(2):
        answer = collectors.post(url, message, **{"x-amz-sns-message-id": "m-1", "x-amz-sns-rawdelivery": "true"})
    assert answer.headers["event-duplicate"] == "true"
    (row,) = collectors.events(webhook_id)
    assert row["provider"] == "aws"


def test_insufficient_data(collectors: Collectors) -> None:
    body = payload("aws-sns-cloudwatch-insufficient")
    for options, number in (({}, 1), ({"ignore_insufficient_data": True}, 0)):
        webhook_id, url = collectors.webhook(f"insufficient {number}", **options)
        collectors.post(url, body)
        assert len(collectors.events(webhook_id)) == number


def test_the_commands(collectors: Collectors) -> None:
    webhook_id, url = collectors.webhook("commands")
    cloud_event = block("sh", "cloudevents+json")
    assert curl(cloud_event, url).headers["event-count"] == "1"
    assert curl(cloud_event, url).headers["event-duplicate"] == "true"
    own = block("sh", "idempotency-key")
    assert curl(own, url).headers["event-count"] == "1"
    assert curl(own, url).headers["event-duplicate"] == "true"
    rows = collectors.events(webhook_id)
    assert [(row["title"], row["severity"]) for row in rows] == [
        ("Pressure is too high", "ERROR"),
        ("Disk full", "CRITICAL"),
    ]
    assert rows[1]["occurred_at"] == "2025-11-01T00:00:00.000Z"


def test_the_mapping(run: CommandLine, collectors: Collectors) -> None:
    made = run(*words(block("sh", "report.checks"))[1:], "--json").json
    check = {"nr": 1, "what": "Door", "where": "hall", "colour": "red", "since": "2025-05-06T07:08:09Z"}
    for colour in ("red", "green"):
        body = {"site": {"name": "plant 3"}, "report": {"checks": [{**check, "colour": colour}]}}
        assert collectors.post(made["webhook_url"], body).headers["event-count"] == "1"
    alert, recovery = collectors.events(made["webhook_id"])
    assert (alert["title"], alert["severity"], alert["account"]) == ("Door in hall", "CRITICAL", "plant 3")
    assert (recovery["event_type"], recovery["alert_id"]) == ("RECOVERY", alert["alert_id"])
    impossible = run(
        *("webhook", "create", "--name", "x", "--project-id", "project-1"), "--option", 'mapping={"title": "a["}'
    )
    assert (impossible.status, "plugin_info.options.mapping" in impossible.err) == (1, True)


def test_the_commands_of_an_operator_exist(run: CommandLine, collectors: Collectors) -> None:
    webhook_id, url = collectors.webhook("operator", "native")
    collectors.post(url, {"no": "key"})
    (event,) = collectors.events(webhook_id)
    file = str(PAYLOADS / "sentry-issue-created.json")
    found = re.findall(r"^event-service (?:webhook (?:test|get)|event (?:list|replay)) .*$", TEXT, re.MULTILINE)
    assert len(found) == 5
    for command in found:
        arguments = words(command)[1:]
        stdin = ""
        if "<" in arguments:
            arguments, stdin = arguments[: arguments.index("<")], (PAYLOADS / "sentry-issue-created.json").read_text()
        replaced = {"webhook-1a2b3c4d5e6f": webhook_id, "event-1a2b3c4d5e6f": event["event_id"], "payload.json": file}
        done = run(*(replaced.get(word, word) for word in arguments), stdin=stdin)
        assert done.status == 0, (command, done.err)
