"""The error tree: codes that exist, and copies that stand for their original."""

import grpc
import pytest

from event_service import errors
from event_service.errors import EventServiceError, InvalidArgument, NotFound, Overloaded, PermissionDenied, Unavailable

EVERY_CLASS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, EventServiceError)]


@pytest.mark.parametrize("kind", EVERY_CLASS)
def test_every_class_has_a_code_of_grpc(kind: type[EventServiceError]) -> None:
    assert kind.code in grpc.StatusCode.__members__
    assert kind.reason.startswith("ERROR_")


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument.at("data.a[3]", "is NaN"),
        NotFound("event_id", "event-1"),
        Overloaded("busy", retry_after=0.25),
        PermissionDenied(),
        Unavailable("gone"),
    ],
)
def test_copy_equals_the_original(error: EventServiceError) -> None:
    error.__cause__ = OSError("cable")
    copy = error.again()
    assert copy is not error
    assert type(copy) is type(error)
    assert (copy.details, str(copy), copy.violations) == (error.details, str(error), error.violations)
    assert (copy.retry_after, copy.__cause__) == (error.retry_after, error.__cause__)


def test_a_copy_has_a_traceback_of_its_own() -> None:
    error = Unavailable()
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            raise error.again()
        assert len(caught.traceback) == 1
    assert error.__traceback__ is None
