"""The lines of docs/cloud-eye.md do what it says, where their tools are at hand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.cloud_eye_sdk import Account
from tests.e2e.service import BIN, Service

DOCUMENT = (Path(__file__).parents[2] / "docs" / "cloud-eye.md").read_text()


def block(language: str, containing: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    [found] = [text for text in blocks if containing in text]
    return str(found)


@pytest.fixture
def account(service: Service) -> Account:
    return Account(service)


def run(account: Account, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "CLOUD_EYE_ENDPOINT": f"http://{account.service.http_address}",
        "CLOUD_EYE_PROJECT": account.project_id,
        "CLOUD_EYE_AK": account.access_key_id,
        "CLOUD_EYE_SK": account.secret_key,
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_python(account: Account) -> None:
    done = run(account, sys.executable, "-c", block("python", "create_events"))
    assert re.fullmatch(r"ev[0-9]{13}[0-9A-Za-z]{9} diskFull\n", done.stdout), done.stderr
    assert [row["title"] for row in account.stored()] == ["diskFull on ecs001"]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl(account: Account) -> None:
    done = run(account, "sh", "-c", block("sh", "curl"))
    assert '"event_name":"diskFull"' in done.stdout, done.stderr
    assert len(account.stored()) == 1


def test_credentials(service: Service) -> None:
    command = block("sh", "webhook create").replace("CLOUD_EYE_PROJECT", "abc-1").replace("PROJECT", "project-1")
    done = subprocess.run(
        ["sh", "-c", command.replace("event-service", str(BIN / "event-service"))],
        env=service.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert '"webhook_id"' in done.stdout, done.stderr
    assert '"access_key"' in done.stdout
