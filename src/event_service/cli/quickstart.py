"""Commands to paste into a second terminal after the first start."""

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from event_service.cli.default_webhook import DefaultWebhook, path_in

EVENT_SERVICE = "spaceone.api.monitoring.v1.Event"
SAMPLE = {
    "event_key": "cpu:web-1",
    "event_type": "ALERT",
    "title": "CPU load above 90 %",
    "severity": "CRITICAL",
    "resources": ["web-1"],
}


def command(name: str) -> str:
    """Return the path of a program of this environment, relative to the working directory if it is below it."""
    program = Path(sys.executable).with_name(name)
    if not program.exists():
        return name
    if program.is_relative_to(Path.cwd()):
        return os.path.relpath(program)
    return str(program)


def grpcurl(address: str, method: str, request: dict[str, Any]) -> str:
    """Return a grpcurl call of the Event service, by reflection."""
    body = shlex.quote(json.dumps(request, ensure_ascii=False))
    return f"{shlex.quote(command('grpcurl'))} -plaintext -d {body} {address} {EVENT_SERVICE}/{method}"


def lines_for(webhook: DefaultWebhook, address: str) -> Sequence[str]:
    """Return commands that send an event to the webhook, list and count events: gRPC, command line, HTTP."""
    create = {"webhook_id": webhook.webhook_id, "access_key": webhook.access_key, "data": SAMPLE}
    stat = {
        "query": {
            "aggregate": [
                {"group": {"keys": [{"k": "severity", "n": "severity"}], "fields": [{"n": "count", "o": "count"}]}}
            ]
        }
    }
    sample = shlex.quote(json.dumps(SAMPLE, ensure_ascii=False))
    return (
        "",
        f"Send an event to the first webhook, {webhook.webhook_id}:",
        grpcurl(address, "create", create),
        "",
        "List and count events:",
        grpcurl(address, "list", {"query": {"page": {"limit": 10}}}),
        grpcurl(address, "stat", stat),
        "",
        "Send an event on the command line:",
        f"echo {sample} | {shlex.quote(command('event-service'))} event send"
        + ("" if address == "127.0.0.1:50051" else f" --server {address}"),
        "",
        "Send an event over HTTP, as monitoring tools do:",
        f"curl -sS -d {sample} {webhook.webhook_url}",
        "",
    )


def lines_without_key(webhook: DefaultWebhook, data_dir: Path) -> Sequence[str]:
    """Return where the access key and the URL of the webhook are, for output that is not a terminal."""
    return ("", f"The first webhook is {webhook.webhook_id}; its access key and URL are in {path_in(data_dir)}.", "")
