"""Clients with dependencies of their own, which `make clients` installs; `make test` leaves these tests out."""

import os
from pathlib import Path

FOLDER = os.environ.get("EVENT_SERVICE_TEST_CLIENTS", "")
"""Environments and modules of the clients; "" without them."""

collect_ignore_glob = [] if FOLDER else [str(Path(__file__).with_name("test_*.py"))]
