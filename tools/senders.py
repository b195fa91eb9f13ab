"""Unpacks the monitoring tools of tests/e2e/senders below .tools/senders: `make senders`. Nothing is installed."""

import subprocess
import sys
from pathlib import Path

import debian_packages

ROOT = Path(__file__).resolve().parent.parent
LISTS = ROOT / "tests" / "e2e" / "senders"
TARGET = ROOT / ".tools" / "senders"
UPTIME_KUMA = "uptime-kuma@2.0.0-dev.0"


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    packages = [line.split()[0] for line in (LISTS / "debian.txt").read_text().splitlines()]
    debian_packages.unpack(packages, TARGET / "apt", TARGET / "debian")
    run(sys.executable, "-m", "venv", TARGET / "python")
    pip = (TARGET / "python" / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "-qq")
    run(*pip, "install", "--requirement", LISTS / "python.txt")
    node = TARGET / "node"
    node.mkdir(exist_ok=True)
    (node / "package.json").write_text((LISTS / "package.json").read_text())
    run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", node)
    # The package without its hundreds of dependencies: a provider needs three.
    kuma = TARGET / "uptime-kuma"
    kuma.mkdir(exist_ok=True)
    archive = subprocess.run(
        ["npm", "pack", "--silent", UPTIME_KUMA], cwd=kuma, check=True, capture_output=True, text=True
    ).stdout.strip()
    run("tar", "-xzf", kuma / archive, "-C", kuma, "package/server/notification-providers")


def run(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True)


if __name__ == "__main__":
    main()
