"""The parsers read what docs/collectors.md shows."""

import json
import re
from pathlib import Path
from typing import Any

from event_service.normalize import canonical_name, known_names, option_faults, parse
from tests.unit.normalize.examples import RECEIVED, read

TEXT = (Path(__file__).parents[3] / "docs" / "collectors.md").read_text()


def block(language: str, word: str) -> str:
    """Return the only code block of that language that contains the word."""
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    (only,) = [code for code in found if word in code]
    return only


def body_of(command: str) -> Any:
    """Return the JSON body of a curl command."""
    match = re.search(r"-d '(.*)'", command, re.DOTALL)
    assert match is not None
    return json.loads(match[1])


def test_every_name_is_documented_with_the_ids_that_mean_the_same() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|.*\| (.*)\|$", TEXT, re.MULTILINE)
    documented = {name: re.findall(r"`([^`]+)`", aliases) for name, aliases in rows}
    parts = {"aws-sns", "aws-sns-raw", "aws-cloudwatch", "aws-cloudwatch-eventbridge", "aws-health", "aws-eventbridge"}
    parts |= {"grafana-legacy", "gcp-pubsub", "pagerduty-v1", "pagerduty-webhook"}
    assert set(known_names()) - parts == {name for name in documented if name in known_names()}
    for name, aliases in documented.items():
        assert all(canonical_name(alias) == name for alias in aliases if alias.startswith("plugin-"))


def test_the_datadog_template() -> None:
    template = json.loads(block("json", "$ALERT_TRANSITION"))
    parsed = read({**template, "alert_title": "Disk", "alert_transition": "Recovered", "alert_id": "5"})
    assert parsed.source == "datadog"
    assert (parsed.events[0].title, parsed.events[0].event_type.value) == ("Disk", "RECOVERY")


def test_the_zabbix_script_sends_what_the_parser_reads() -> None:
    script = block("js", "HttpRequest")
    sent = re.search(r"JSON\.stringify\((\{.*\})\)\);", script, re.DOTALL)
    assert sent is not None
    payload = json.loads(re.sub(r"p\.(\w+)", r'"\1"', re.sub(r"(\w+):", r'"\1":', sent[1])))
    parsed = read(payload)
    assert parsed.source == "zabbix"
    assert parsed.events[0].resources == ["host_name (host_conn)"]
    assert set(re.findall(r"p\.(\w+)", script)) - {"url"} == set(re.findall(r"`(\w+)` = `\{", TEXT))


def test_the_commands_for_cloudevents_and_the_native_format() -> None:
    assert read(body_of(block("sh", "cloudevents+json"))).source == "cloudevents"
    parsed = parse("native", body_of(block("sh", "idempotency-key")), {}, {}, RECEIVED)
    assert parsed.faults == []
    assert parsed.events[0].event_key == "db-1/disk"


def test_the_mapping() -> None:
    command = block("sh", "report.checks")
    options = {name: json.loads(value) for name, value in re.findall(r"--option '(\w+)=(.*?)'", command, re.DOTALL)}
    assert option_faults(options) == []
    payload = {"report": {"checks": [{"nr": 1, "what": "Door", "where": "hall", "colour": "green"}]}}
    (event,) = parse("mapping", payload, {}, options, RECEIVED).events
    assert (event.title, event.event_type.value) == ("Door in hall", "RECOVERY")
