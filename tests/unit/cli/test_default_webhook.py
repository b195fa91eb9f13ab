"""The file of the default webhook, and the commands printed for it."""

import json
import shlex
import stat
from pathlib import Path

import pytest

from event_service.cli import default_webhook, quickstart
from event_service.cli.default_webhook import DefaultWebhook
from event_service.cli.failures import Failure

WEBHOOK = DefaultWebhook(
    "webhook-0123456789ab", "key'with quotes", "http://127.0.0.1:8080/monitoring/v1/webhook/x/y/events"
)


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    path = default_webhook.write(tmp_path, WEBHOOK)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert default_webhook.read(tmp_path) == WEBHOOK
    default_webhook.write(tmp_path, WEBHOOK)
    assert [entry.name for entry in tmp_path.iterdir()] == [default_webhook.FILE_NAME]


def test_missing_file_returns_none(tmp_path: Path) -> None:
    assert default_webhook.read(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"webhook_id": "a"}'])
def test_damaged_file_is_reported(tmp_path: Path, content: str) -> None:
    default_webhook.path_in(tmp_path).write_text(content)
    with pytest.raises(Failure, match=default_webhook.FILE_NAME):
        default_webhook.read(tmp_path)


def test_key_not_in_lines_for_logs(tmp_path: Path) -> None:
    lines = "\n".join(quickstart.lines_without_key(WEBHOOK, tmp_path))
    assert WEBHOOK.webhook_id in lines
    assert str(default_webhook.path_in(tmp_path)) in lines
    assert WEBHOOK.access_key not in lines
    assert WEBHOOK.webhook_url not in lines


def test_commands_are_quoted_for_a_shell() -> None:
    lines = quickstart.lines_for(WEBHOOK, "127.0.0.1:50051")
    create = next(line for line in lines if line.endswith("Event/create"))
    words = shlex.split(create)
    sent = json.loads(words[words.index("-d") + 1])
    assert (sent["webhook_id"], sent["access_key"]) == (WEBHOOK.webhook_id, WEBHOOK.access_key)
    (post,) = (shlex.split(line) for line in lines if line.startswith("curl "))
    assert post[-1] == WEBHOOK.webhook_url
    assert json.loads(post[post.index("-d") + 1])["severity"] == "CRITICAL"
