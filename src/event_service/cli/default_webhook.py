"""The default webhook for trying the service out: created once, its access key in a file of mode 0600."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from event_service.cli.failures import Failure

FILE_NAME = "first-webhook.json"

REQUEST = {"name": "first", "project_id": "project-default", "plugin_info": {"plugin_id": "auto"}}


@dataclass(frozen=True, slots=True)
class DefaultWebhook:
    """Credentials and URL of the default webhook."""

    webhook_id: str
    access_key: str
    webhook_url: str


def path_in(data_dir: Path) -> Path:
    return data_dir / FILE_NAME


def read(data_dir: Path) -> DefaultWebhook | None:
    """Return the default webhook of this data directory, or None.

    Raises:
        Failure: the file exists and cannot be read.
    """
    path = path_in(data_dir)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return DefaultWebhook(**{name: str(content[name]) for name in DefaultWebhook.__slots__})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(
            f"Cannot read {path}: {error}.", "Remove it and restart the service, which creates a new one."
        ) from error


def write(data_dir: Path, webhook: DefaultWebhook) -> Path:
    """Write the webhook to a file of mode 0600 atomically; return its path."""
    path = path_in(data_dir)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(webhook), file, indent=2)
        file.write("\n")
    fresh.replace(path)
    return path
