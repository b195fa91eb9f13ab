"""Writes constraints.txt: every package that pyproject.toml asks for, pinned, with the hashes of its files.

Resolves with uv for all platforms and Python versions at once. Runs on a plain Python, outside the project's
environment: `make constraints`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "constraints.txt"
HEADER = (
    "# Every package of the environment on every platform, pinned with the hashes of its files by `make constraints`.\n"
    "# What is wanted, and why: pyproject.toml.\n"
)
# As in the Makefile: pip, and what builds packages, since nothing is built in isolation.
INSTALLERS = ("pip", "hatchling", "editables", "setuptools", "wheel")
# Its dependencies are versions of grpcio and protobuf that are years old.
WITHOUT_DEPENDENCIES = "spaceone-api==2.0.435"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        programs = Path(folder) / "bin"
        subprocess.run([programs / "python", "-m", "pip", "--quiet", "install", "uv"], check=True)

        def pinned(*arguments: str, further: str) -> str:
            """Return the pins of the requirements that `arguments` name, and of those in `further`."""
            options = ("--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate")
            return subprocess.run(
                [programs / "uv", "pip", "compile", *options, *arguments, "-"],
                cwd=ROOT, input=further, stdout=subprocess.PIPE, text=True, check=True,
            ).stdout  # fmt: skip

        project = ("pyproject.toml", "--all-extras", "--group", "pyproject.toml:dev")
        pins = pinned(*project, further="\n".join(INSTALLERS))
        pins += pinned("--no-deps", "--python-version", "3.11", further=WITHOUT_DEPENDENCIES)
    TARGET.write_text(HEADER + pins)
    print(f"{TARGET.name}: {pins.count('==')} pins")


if __name__ == "__main__":
    main()
