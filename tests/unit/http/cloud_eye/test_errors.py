"""The combined error body, and the vendor's code of each error."""

import pytest

from event_service.errors import (
    AlreadyExists,
    DeadlineExceeded,
    EventServiceError,
    Internal,
    InvalidArgument,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PermissionDenied,
    QueryTimeout,
    RequestTimeout,
    RequiredParameter,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from event_service.http.cloud_eye.errors import BAD_BODY, BAD_SIGNATURE, CloudEyeError, cloud_eye_error


def test_body_has_both_documented_forms() -> None:
    body = CloudEyeError(BAD_BODY, faults=["[0].time is mandatory", "[1].time is mandatory"]).body("0123")
    text = "[0].time is mandatory; [1].time is mandatory"
    assert body == {
        "http_code": 400,
        "message": {"code": "ces.0014", "details": text},
        "error_code": "ces.0014",
        "error_msg": text,
        "request_id": "0123",
        "details": [
            {"error_code": "ces.0014", "error_msg": "[0].time is mandatory"},
            {"error_code": "ces.0014", "error_msg": "[1].time is mandatory"},
        ],
    }


def test_text_has_five_faults_and_details_have_all() -> None:
    body = CloudEyeError(BAD_BODY, faults=[f"[{index}] bad" for index in range(7)]).body("")
    assert body["error_msg"] == "[0] bad; [1] bad; [2] bad; [3] bad; [4] bad; and 2 more"
    assert len(body["details"]) == 7


def test_problem_follows_the_text_of_the_code() -> None:
    assert CloudEyeError(BAD_SIGNATURE, "verify aksk signature fail").message == (
        "Incorrect IAM authentication information: verify aksk signature fail"
    )


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidArgument("x"), 400, "ces.0014"),
        (RequiredParameter("x"), 400, "ces.0014"),
        (Unauthenticated(), 401, "ces.0015"),
        (PermissionDenied(), 403, "ces.0017"),
        (NotFound("x", "y"), 404, "ces.0016"),
        (MethodNotAllowed("x"), 405, "APIGW.0101"),
        (RequestTimeout("x"), 408, "ces.0011"),
        (TooLarge("x"), 413, "APIGW.0201"),
        (Overloaded("x", retry_after=1), 429, "APIGW.0308"),
        (Internal("x"), 500, "ces.0007"),
        (AlreadyExists("x"), 500, "ces.0007"),
        (Unavailable(), 503, "APIGW.0613"),
        (QueryTimeout("x"), 408, "ces.0011"),
        (DeadlineExceeded("x"), 503, "APIGW.0613"),
    ],
)
def test_service_errors_are_mapped(error: EventServiceError, status: int, code: str) -> None:
    answer = cloud_eye_error(error)
    assert (answer.code.http_status, answer.code.code) == (status, code)
    assert answer.retry_after == error.retry_after


def test_unexpected_errors_are_not_disclosed() -> None:
    answer = cloud_eye_error(ValueError("secret"))
    assert answer.code.http_status == 500
    assert "secret" not in str(answer.body(""))


def test_405_says_its_sentence_once() -> None:
    answer = cloud_eye_error(MethodNotAllowed("The method PATCH is not allowed here."))
    assert answer.message == "The API does not exist: The method PATCH is not allowed here."
