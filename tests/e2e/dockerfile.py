"""Goes through a Dockerfile without Docker, as far as that is possible: for a test of its steps.

Build arguments that are absolute paths are given other values, so that everything happens below a folder of the
test. The base image's `python` is a fresh virtual environment. Steps that need root (accounts, owners, packages) are
returned and not run.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pip
from debian_packages import library_path

from tests.e2e.service import CHECKOUT

NEEDS_ROOT = re.compile(r"^(useradd|install .*--owner|apt-get )")
UNPACKED = CHECKOUT / ".tools" / "mongod" / "unpacked"
"""Libraries that the image's apt-get installs, unpacked by `make test` if this machine lacks them."""


@dataclass
class Image:
    """The last stage of a Dockerfile.

    Attributes:
        environment: ENV of the stage.
        entrypoint, command, health_command: exec forms.
        user: USER.
        not_run: RUN steps left out since they need root.
    """

    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health_command: list[str] = field(default_factory=list)
    user: str = ""
    stop_signal: str = "SIGTERM"
    not_run: list[str] = field(default_factory=list)


def steps(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile with their arguments; comments and line continuations resolved."""
    joined = re.sub(r"\\\n", " ", text)
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(None, 1)[0].upper(), line.split(None, 1)[1]) for line in lines]


class Replay:
    """Goes through the steps of `dockerfile` in `context`, with `arguments` in place of its ARG defaults."""

    def __init__(self, dockerfile: Path, context: Path, base_python: Path, arguments: Mapping[str, str]) -> None:
        self.steps = steps(dockerfile.read_text())
        self.context = context
        self.given = dict(arguments)
        self.base_path = f"{base_python.parent}{os.pathsep}{os.defpath}"
        self.image = Image()
        self.variables: dict[str, str] = {}
        self.folder = Path("/")

    def run(self) -> Image:
        """Return all steps; the last stage's image."""
        for instruction, argument in self.steps:
            getattr(self, f"_{instruction.lower()}")(argument)
        return self.image

    def _expand(self, text: str) -> str:
        known = {"PATH": self.base_path, **self.variables, **self.image.environment}
        return re.sub(r"\$\{(\w+)\}", lambda match: known[match[1]], text)

    def _from(self, _argument: str) -> None:
        self.image = Image()
        self.variables = {}
        self.folder = Path("/")

    def _arg(self, argument: str) -> None:
        name, _, default = argument.partition("=")
        self.variables[name] = self.given.get(name, default)

    def _env(self, argument: str) -> None:
        name, _, value = argument.partition("=")
        self.image.environment[name] = self._expand(value)

    def _workdir(self, argument: str) -> None:
        self.folder = Path(self._expand(argument))
        self.folder.mkdir(parents=True, exist_ok=True)

    def _copy(self, argument: str) -> None:
        words = shlex.split(self._expand(argument))
        if words[0].startswith("--from="):
            # Both stages live in one file system here, under the same path.
            assert words[1] == words[2]
            assert Path(words[1]).is_dir()
            return
        *sources, target = words
        for source in sources:
            destination = self.folder / target / ("" if (self.context / source).is_dir() else source)
            if (self.context / source).is_dir():
                shutil.copytree(
                    self.context / source,
                    self.folder / target,
                    ignore=shutil.ignore_patterns("__pycache__"),
                    dirs_exist_ok=True,
                )
            else:
                shutil.copy(self.context / source, destination)

    def _run(self, argument: str) -> None:
        command = self._expand(argument)
        if NEEDS_ROOT.match(command):
            self.image.not_run.append(command)
            return
        subprocess.run(["/bin/sh", "-ec", command], cwd=self.folder, env=self.environment(), check=True)

    def _user(self, argument: str) -> None:
        self.image.user = argument

    def _stopsignal(self, argument: str) -> None:
        self.image.stop_signal = argument

    def _healthcheck(self, argument: str) -> None:
        self.image.health_command = json.loads(argument.partition("CMD")[2])

    def _entrypoint(self, argument: str) -> None:
        self.image.entrypoint = json.loads(argument)

    def _cmd(self, argument: str) -> None:
        self.image.command = json.loads(argument)

    def _volume(self, _argument: str) -> None:
        """Nothing to do without containers."""

    def _expose(self, _argument: str) -> None:
        """Nothing to do without containers."""

    def environment(self) -> dict[str, str]:
        """Return the environment of steps and container: nothing of this process but the package index."""
        kept = {
            name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_")) or name == "HOME"
        }
        if UNPACKED.exists():
            kept["LD_LIBRARY_PATH"] = library_path(UNPACKED)
        # What is installed is compiled when it is first used: half of the test's time would go to the rest.
        return {**kept, "PIP_COMPILE": "0", "PATH": self.base_path, **self.image.environment}


def fresh_python(folder: Path) -> Path:
    """Return the base image's Python: a virtual environment with nothing in it but pip, which is this one's."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    shutil.copytree(Path(pip.__file__).parent, packages / "pip")
    return folder / "bin" / "python"
