"""Writes constraints.txt: resolves everything pyproject.toml asks for in a fresh environment and freezes it.

Runs on a plain Python, outside the project's environment: `make constraints`.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "constraints.txt"
HEADER = "# Every package of the environment, pinned by `make constraints`. What is wanted, and why: pyproject.toml.\n"
# As in the Makefile: what builds packages, since nothing is built in isolation.
BACKENDS = ("hatchling", "editables", "setuptools", "wheel")
# Its dependencies are versions of grpcio and protobuf that are years old.
WITHOUT_DEPENDENCIES = "spaceone-api==2.0.435"


def run(*command: str | Path) -> str:
    """Run one command in the checkout and gives back what it printed."""
    return subprocess.run(
        [str(part) for part in command], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE
    ).stdout


def embedded_pins() -> set[str]:
    """Return the exact versions of the extra `embedded` for every platform: only this one's get installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {requirement.partition(";")[0].strip() for requirement in project["optional-dependencies"]["embedded"]}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "venv", folder)
        python = Path(folder) / "bin" / "python"
        pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet")
        run(*pip, "install", "--upgrade", "pip", *BACKENDS)
        run(*pip, "install", "--no-build-isolation", "--editable", ".[embedded]", "--group", "dev")
        run(*pip, "install", "--no-deps", WITHOUT_DEPENDENCIES)
        frozen = run(*pip, "freeze", "--all", "--exclude-editable")
    pins = {line for line in frozen.splitlines() if "==" in line} | embedded_pins()
    TARGET.write_text(HEADER + "".join(pin + "\n" for pin in sorted(pins, key=str.lower)))
    print(f"{TARGET.name}: {len(pins)} packages")


if __name__ == "__main__":
    main()
