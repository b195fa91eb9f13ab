"""Failures of the command line: each text once, and the fields to correct."""

import grpc
import pytest

from event_service.cli.failures import from_rpc_error
from event_service.errors import FieldViolation, InvalidArgument
from event_service.rpc.status import failure_of


class Refusal(grpc.RpcError):
    """An error of the service as a client receives it."""

    def __init__(self, error: InvalidArgument) -> None:
        self._failure = failure_of(error)

    def code(self) -> grpc.StatusCode:
        return self._failure.code

    def details(self) -> str:
        return self._failure.details

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return self._failure.trailers


@pytest.mark.parametrize("words", [3, 120], ids=["short", "cut by the service"])
def test_violation_in_message_is_not_repeated(words: int) -> None:
    refused = from_rpc_error(Refusal(InvalidArgument.at("plugin_id", "no parser; there are " + "parser " * words)), "")
    assert refused.message.startswith("plugin_id: no parser")
    assert refused.hint == ""


def test_violations_missing_in_message_are_hints() -> None:
    error = InvalidArgument("Two faults.", violations=[FieldViolation("a", "too long"), FieldViolation("b", "empty")])
    assert from_rpc_error(Refusal(error), "").hint == "a: too long\nb: empty"
