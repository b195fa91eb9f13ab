"""Translation of the driver's exceptions to the service's errors."""

from typing import Any

import bson
import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DocumentTooLarge,
    ExecutionTimeout,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
)

from event_service.errors import (
    EventServiceError,
    Internal,
    InvalidArgument,
    NotFound,
    QueryError,
    QueryTimeout,
    TooLarge,
    Unavailable,
)
from event_service.store.driver_errors import DUPLICATE_KEY, database_errors, translate_write, write_errors


def raised_for(error: Exception, *, writing: bool = False) -> EventServiceError:
    with pytest.raises(EventServiceError) as caught, database_errors(writing=writing):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("connection closed"),
        NetworkTimeout("timed out"),
        NotPrimaryError("not primary"),
        ServerSelectionTimeoutError("127.0.0.1:1: connection refused"),
        WaitQueueTimeoutError("no connection"),
        InvalidOperation("Cannot use MongoClient after close"),
        OperationFailure("interrupted at shutdown", 11600),
        WriteConcernError("waiting for replication timed out", 64),
        OperationFailure("not primary", 10107),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("writing", [False, True])
def test_unreachable_database_is_unavailable_with_a_short_delay(error: Exception, writing: bool) -> None:
    seen = raised_for(error, writing=writing)
    assert type(seen) is Unavailable
    assert seen.retry_after
    assert "127.0.0.1" not in seen.message


@pytest.mark.parametrize("code", [1, 14031, 13])
def test_database_that_needs_an_operator_is_unavailable_with_a_long_delay(code: int) -> None:
    seen = raised_for(OperationFailure("internal server error", code), writing=True)
    assert type(seen) is Unavailable
    assert seen.retry_after
    assert seen.retry_after > 1


def test_query_over_max_time_is_not_worth_a_retry() -> None:
    with pytest.raises(QueryTimeout, match="created_at") as caught, database_errors(querying=True):
        raise ExecutionTimeout("operation exceeded time limit", 50)
    assert caught.value.retry_after is None


@pytest.mark.parametrize("writing", [True, False])
def test_write_or_look_up_over_max_time_is_worth_a_retry(writing: bool) -> None:
    """A create whose look-ups take too long must be sent again, or its payload would be lost."""
    seen = raised_for(ExecutionTimeout("operation exceeded time limit", 50), writing=writing)
    assert type(seen) is Unavailable
    assert seen.retry_after


def test_refused_query_is_a_query_error() -> None:
    seen = raised_for(OperationFailure("Regular expression is invalid: missing )", 51091, {"secret": "reply"}))
    assert type(seen) is QueryError
    assert "missing )" in seen.message
    assert "secret" not in seen.message


def test_refused_write_is_internal() -> None:
    assert type(raised_for(OperationFailure("Document failed validation", 121), writing=True)) is Internal


@pytest.mark.parametrize("error", [DocumentTooLarge("too large"), OperationFailure("object too large", 10334)])
@pytest.mark.parametrize(("writing", "field"), [(True, "data"), (False, "query")])
def test_too_large_document_is_too_large(error: Exception, writing: bool, field: str) -> None:
    seen = raised_for(error, writing=writing)
    assert type(seen) is TooLarge
    assert [violation.field for violation in seen.violations] == [field]
    assert "16 MiB" in seen.message


@pytest.mark.parametrize("value", [{"n": 2**64}, {"a\0b": 1}, {"text": "\ud800"}])
def test_value_outside_bson_is_an_invalid_argument(value: dict[str, Any]) -> None:
    with pytest.raises(QueryError), database_errors():
        bson.encode(value)
    with pytest.raises(InvalidArgument) as caught, database_errors(writing=True):
        bson.encode(value)
    assert [violation.field for violation in caught.value.violations] == ["data"]


def test_other_errors_pass() -> None:
    with pytest.raises(NotFound), database_errors():
        raise NotFound("event_id", "x")
    with pytest.raises(ZeroDivisionError), database_errors():
        raise ZeroDivisionError
    with database_errors():
        pass


@pytest.mark.parametrize(
    ("reply", "key"),
    [
        ({"keyPattern": {"_id": 1}, "keyValue": {"_id": "x"}}, "_id"),
        ({"keyPattern": {"event_id": 1}}, "event_id"),
        ({"errmsg": "E11000 duplicate key error collection: monitoring.event index: _id_ dup key: { : 1 }"}, "_id"),
        ({"errmsg": "E11000 duplicate key error index: monitoring.event.$event_id_1 dup key: { : 1 }"}, "event_id"),
        ({"errmsg": "E11000 Duplicate Key Error"}, ""),
    ],
)
def test_duplicate_key_names_the_index_field(reply: dict[str, Any], key: str) -> None:
    error = BulkWriteError({"writeErrors": [{"index": 3, "code": DUPLICATE_KEY, **reply}], "writeConcernErrors": []})
    (failure,) = write_errors(error)
    assert (failure.index, failure.code, failure.key) == (3, DUPLICATE_KEY, key)


def test_write_concern_error_fails_the_whole_bulk() -> None:
    error = BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "timeout"}]})
    with pytest.raises(Unavailable):
        write_errors(error)
    assert type(raised_for(error, writing=True)) is Unavailable


def test_each_refused_operation_has_its_own_error() -> None:
    error = BulkWriteError({"writeErrors": [{"index": 0, "code": 10334, "errmsg": "too large"}]})
    assert type(translate_write(write_errors(error)[0])) is TooLarge


def test_network_timeout_of_a_query_is_query_timeout() -> None:
    for kind, error in ((QueryTimeout, NetworkTimeout("timed out")), (Unavailable, AutoReconnect("closed"))):
        with pytest.raises(kind), database_errors(querying=True):
            raise error


def test_message_names_no_collection() -> None:
    said = "Executor error during aggregate command on namespace: d.event :: caused by :: not an array, full error: {}"
    assert raised_for(OperationFailure(said, 17124)).message.endswith(": not an array")
