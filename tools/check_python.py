"""Says in one line why this Python cannot carry the service, if it cannot. Runs on any Python 3."""

import importlib.util
import sys

NEEDED = (3, 11)

if sys.version_info < NEEDED:
    found = ".".join(str(part) for part in sys.version_info[:3])
    sys.exit(f"Python {found} is too old: 3.11 or newer is needed. Name another one: make PYTHON=python3.12 ...")
if importlib.util.find_spec("ensurepip") is None:
    sys.exit("This Python has no ensurepip. On Debian and Ubuntu: apt-get install python3-venv")
