"""Calls the service from a process that has the stubs of spaceone-api and nothing of ours."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

PROGRAM = Path(__file__).with_name("foreign_process.py")


class Refused(Exception):
    """The call ended with an error.

    Attributes:
        code: the gRPC code's name.
        details: `ERROR_X: message`.
    """

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code, self.details = code, details


@dataclass(frozen=True)
class Answer:
    """A reply as its JSON, and the trailers."""

    reply: dict[str, Any]
    trailers: dict[str, list[str]]


class ForeignClient:
    """Drives one such process.

    Args:
        certificates: for mutual TLS, PEM files: the authority that is trusted, the client's certificate, its key.
    """

    def __init__(self, address: str, certificates: Sequence[Path] = ()) -> None:
        self.address = address
        self.certificates = certificates

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, self.address, *self.certificates],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        status = self.process.wait(30)
        self.process.stdout.close()
        assert status == 0

    def call(self, service: str, method: str, request: Mapping[str, Any], **metadata: str) -> Answer:
        """Make a call; raise Refused on errors. `metadata` names have `_` for `-`, except x_domain_id."""
        names = {name: name if name.startswith("x_") else name.replace("_", "-") for name in metadata}
        order = {
            "service": service,
            "method": method,
            "request": request,
            "metadata": {names[name]: value for name, value in metadata.items()},
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "code" in answer:
            raise Refused(answer["code"], answer["details"])
        return Answer(answer["reply"], answer["trailers"])
