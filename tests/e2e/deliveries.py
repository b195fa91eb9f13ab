"""Payloads of monitoring tools, delivered to a running service over HTTP, and the resulting events."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.service import Service

OPENER = "opened before"
"""Title of the alert that a test opens, so that a recovery has something to resolve."""

FIELDS = (
    "event_type", "severity", "title", "description", "rule", "resources", "provider", "account", "image_url",
    "occurred_at",
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A payload as a tool sends it.

    Attributes:
        body: byte for byte.
        headers: beside it, the content type among them.
        options: of the webhook it is sent to.
        opener: another sample that opens the alert this one resolves; None: the test opens it natively.
    """

    name: str
    body: bytes
    headers: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    opener: "Sample | None" = None


@dataclass(frozen=True)
class Delivered:
    """The results of a sample.

    Attributes:
        shown: reply of `Webhooks.Test` before the delivery.
        answer: to the delivery.
        stored: its events, in the payload's order, from `Event.list`.
        opened: the alert_ids by event_key of what was opened before it came.
    """

    shown: dict[str, Any]
    answer: httpx.Response
    stored: list[dict[str, Any]]
    opened: dict[str, str]


class Collectors:
    """A running service as the tools and their operator see it."""

    def __init__(self, service: Service) -> None:
        self._http = httpx.Client(base_url=f"http://{service.http_address}", timeout=30)

    def close(self) -> None:
        self._http.close()

    def ask(self, path: str, **request: Any) -> dict[str, Any]:
        """Make an rpc as JSON over HTTP."""
        answer = self._http.post(path, json=request)
        assert answer.status_code == 200, answer.text
        reply: dict[str, Any] = answer.json()
        return reply

    def webhook(self, name: str, plugin_id: str = "auto", **options: Any) -> tuple[str, str]:
        """Make a webhook: its id and its URL."""
        plugin = {"plugin_id": plugin_id, "options": options}
        made = self.ask("/monitoring/v1/webhook/create", name=name, project_id="project-1", plugin_info=plugin)
        return made["webhook_id"], made["webhook_url"]

    def post(self, url: str, body: bytes | Mapping[str, Any], **headers: str) -> httpx.Response:
        """Make a delivery."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._http.post(url, content=content, headers=headers)

    def events(self, webhook_id: str) -> list[dict[str, Any]]:
        """Everything a webhook has stored, in the order of receipt."""
        query = {"sort": [{"key": "created_at"}]}
        rows: list[dict[str, Any]] = self.ask("/monitoring/v1/event/list", webhook_id=webhook_id, query=query)[
            "results"
        ]
        return rows

    def test(self, webhook_id: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """Return the preview of a payload."""
        encoded = base64.b64encode(body).decode()
        path = "/event_service/v1/webhooks/test"
        return self.ask(path, webhook_id=webhook_id, body=encoded, headers=dict(headers))

    def deliver(self, sample: Sample) -> Delivered:
        """Preview a sample, open the alert it resolves, deliver it, and read it back."""
        webhook_id, url = self.webhook(sample.name, **sample.options)
        shown = self.test(webhook_id, sample.body, sample.headers)
        recoveries = [row["event_key"] for row in shown.get("events", []) if row["event_type"] == "RECOVERY"]
        if recoveries and sample.opener:
            # Where the sender numbers its deliveries, this is another one.
            self.post(url, sample.opener.body, **{**sample.opener.headers, "request-id": "opener"})
        elif recoveries:
            alerts = [
                {"event_key": key, "title": OPENER, "occurred_at": "2001-01-01T00:00:00Z"} for key in set(recoveries)
            ]
            self.post(url, {"results": alerts})
        before = self.events(webhook_id)
        opened = {row["event_key"]: row["alert_id"] for row in before}
        answer = self.post(url, sample.body, **sample.headers)
        order = answer.headers.get("event-id", "").split(", ")
        known = {row["event_id"] for row in before}
        stored = [row for row in self.events(webhook_id) if row["event_id"] not in known]
        stored.sort(key=lambda row: order.index(row["event_id"]))
        return Delivered(shown, answer, stored, opened)


def shared_samples(folder: Path) -> list[Sample]:
    """Return the samples of a folder with INDEX.json, with the headers it names."""
    index = json.loads((folder / "INDEX.json").read_text())
    return [
        Sample(
            row["sample"],
            (folder / row["sample"]).read_bytes(),
            {"content-type": row["content_type"], **row["headers"]},
        )
        for row in index
    ]


def own_samples(folder: Path, groups: list[list[str]]) -> list[Sample]:
    """Return the payloads of a folder with expected.json.

    Args:
        groups: names of what is about one condition, of each group the one first that opens it.
    """
    expected = json.loads((folder / "expected.json").read_text())

    def read(name: str, opener: Sample | None = None) -> Sample:
        row = expected[name]
        headers = {"content-type": "application/json", **row.get("headers", {})}
        return Sample(name, (folder / f"{name}.json").read_bytes(), headers, row.get("options", {}), opener)

    openers = {name: read(names[0]) for names in groups for name in names[1:]}
    return [read(name, openers.get(name)) for name in expected]
