"""Shell completion in a real bash, with the installed script."""

import shutil
import subprocess

import pytest

from tests.e2e.service import BIN, Service

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="bash is not everywhere")

# Words as bash takes a line apart, and what is to be among the candidates, and what is not.
LINES: dict[str, tuple[list[str], set[str], set[str]]] = {
    "fields": (["event", "list", "se"], {"severity=", "severity!="}, {"title="}),
    "all fields": (["event", "tail", ""], {"severity=", "type=", "webhook=", "since="}, {"raw_data="}),
    "severities": (["event", "list", "severity", "="], {"CRITICAL", "NOT_AVAILABLE"}, {"severity="}),
    "a second severity": (["event", "list", "severity", "=", "CRITICAL,ER"], {"CRITICAL,ERROR"}, set()),
    "figures": (["event", "stat", "--by", "hour,se"], {"hour,severity"}, set()),
    "states of alerts": (["alert", "list", "state", "="], {"ACKNOWLEDGED"}, {"ENABLED"}),
    "figures of alerts": (["alert", "stat", "--by", "ur"], {"urgency"}, set()),
    "alerts": (["alert", "get", "alert-"], set(), {"webhook-"}),
    "formats": (["event", "export", "--format", ""], {"csv", "ndjson"}, set()),
    "webhooks": (["webhook", "get", "webhook-"], {"WEBHOOK"}, set()),
    "webhooks in conditions": (["event", "list", "webhook", "=", "webhook-"], {"WEBHOOK"}, set()),
}


def test_candidates(service: Service, webhook: tuple[str, str]) -> None:
    """All lines in one shell."""
    script = ['eval "$(event-service --show-completion bash)"']
    for words, _, _ in LINES.values():
        quoted = " ".join(f"'{word}'" for word in ["event-service", *words])
        script += [f"COMP_WORDS=({quoted})", f"COMP_CWORD={len(words)}", "COMPREPLY=()"]
        script += ["_event_service_completion event-service", 'echo "${COMPREPLY[*]}"']
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        env=service.environment(), capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    for (name, (_, offered, absent)), line in zip(LINES.items(), done.stdout.splitlines(), strict=True):
        candidates = set(line.split())
        assert {webhook[0] if one == "WEBHOOK" else one for one in offered} <= candidates, name
        assert not absent & candidates, name


def test_candidates_for_zsh(service: Service) -> None:
    """zsh takes no words apart, so this is what the program itself answers."""
    environment = service.environment() | {
        "_EVENT_SERVICE_COMPLETE": "complete_zsh",
        "_TYPER_COMPLETE_ARGS": "event-service event list severity=CRI",
    }
    done = subprocess.run([BIN / "event-service"], env=environment, capture_output=True, text=True, check=False)
    assert "severity=CRITICAL" in done.stdout


def test_without_a_server_there_are_no_webhooks() -> None:
    environment = {
        "PATH": str(BIN),
        "EVENT_SERVICE_SERVER": "127.0.0.1:1",
        "_EVENT_SERVICE_COMPLETE": "complete_bash",
        "COMP_WORDS": "event-service webhook get webhook-",
        "COMP_CWORD": "3",
    }
    done = subprocess.run([BIN / "event-service"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
