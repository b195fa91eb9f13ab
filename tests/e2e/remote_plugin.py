"""A remote plugin that runs beside the tests, in a process of its own."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.e2e.service import free_port

PROGRAM = Path(__file__).with_name("plugin_process.py")


@dataclass
class PluginProcess:
    """A plugin with the stubs of spaceone-api; `nonsense` makes all its answers bytes that mean nothing."""

    nonsense: bool = False
    port: int = field(default_factory=free_port)

    @property
    def endpoint(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def start(self) -> None:
        arguments = [sys.executable, str(PROGRAM), str(self.port), *(["nonsense"] if self.nonsense else [])]
        self._process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
