"""`event-service` before its modules are imported and after it has ended."""

import os
import signal
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from event_service import __main__ as program


def test_interrupt_exits_silently_during_import_and_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def look() -> None:
        seen.append(signal.getsignal(signal.SIGINT))

    class CommandLine(ModuleType):
        @property
        def main(self) -> Callable[[], None]:
            look()
            return look

    monkeypatch.setitem(sys.modules, "event_service.cli", CommandLine("event_service.cli"))
    monkeypatch.setattr(sys, "argv", ["event-service", "health"])
    monkeypatch.setenv("GRPC_VERBOSITY", "")
    monkeypatch.delenv("GRPC_VERBOSITY")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        program.main()
        look()
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIG_DFL, signal.default_int_handler, signal.SIG_DFL]
    assert os.environ["GRPC_VERBOSITY"] == "NONE"
