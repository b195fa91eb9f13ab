"""The embedded database of a running service, as a second client sees it."""

import json

from tests.e2e.service import Service


def uri_of(service: Service) -> str:
    """Where the embedded database of a running service listens."""
    child = json.loads((service.data_dir / "database" / "child.json").read_text())
    return f"mongodb://127.0.0.1:{child['port']}/?directConnection=true"
