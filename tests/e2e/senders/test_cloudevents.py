"""The CloudEvents SDK for Python, in binary and in structured mode."""

import subprocess

import pytest

from tests.e2e.deliveries import Collectors
from tests.e2e.senders.conftest import FOLDER, Sender

PROGRAM = """
import sys, urllib.request
from cloudevents.core.bindings import http
from cloudevents.core.v1.event import CloudEvent

url, mode = sys.argv[1:]
for state in ("opened", "closed"):
    event = CloudEvent(
        {"type": f"org.example.pressure.{state}", "source": "/plant/3", "subject": "valve/7",
         "datacontenttype": "application/json"},
        {"title": "Pressure is too high", "severity": "major"},
    )
    message = getattr(http, f"to_{mode}_event")(event)
    request = urllib.request.Request(url, message.body, message.headers, method="POST")
    assert urllib.request.urlopen(request).status == 200
"""


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_opened_and_closed(collectors: Collectors, mode: str) -> None:
    sender = Sender(collectors, "CloudEvents SDK")
    python = FOLDER / "python" / "bin" / "python"
    subprocess.run([python, "-c", PROGRAM, sender.url, mode], check=True)
    sender.check("cloudevents")
    assert sender.events[0]["severity"] == "ERROR"
