"""docs/errors.md lists every error with its codes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from event_service import errors
from event_service.errors import EventServiceError, NotFound, RequiredParameter, WebhookDisabled
from event_service.http.cloud_eye.errors import cloud_eye_error

DOCUMENT = Path(__file__).parents[3] / "docs" / "errors.md"
ROWS = {
    cells[0]: cells[1:]
    for line in DOCUMENT.read_text().splitlines()
    if line.startswith("| `ERROR_")
    for cells in [[cell.strip(" `") for cell in line.strip("|").split("|")]]
}


def classes(base: type[EventServiceError] = EventServiceError) -> Iterator[type[EventServiceError]]:
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from classes(kind)


@pytest.mark.parametrize("kind", sorted(set(classes()), key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_every_error_has_a_row(kind: type[EventServiceError]) -> None:
    code, http_status, cloud_eye, when, _ = ROWS[kind.reason]
    assert (code, int(http_status)) == (kind.code, kind.http_status)
    assert when
    if kind is not WebhookDisabled:  # its route maps it before the general rule
        example = kind.__new__(kind)
        EventServiceError.__init__(example, "x")
        answer = cloud_eye_error(example).code
        assert cloud_eye == f"{answer.http_status} {answer.code}"


def test_every_row_has_an_error() -> None:
    assert set(ROWS) == {kind.reason for kind in classes()}


def test_texts_that_clients_parse_are_unchanged() -> None:
    assert RequiredParameter("data").details == "ERROR_REQUIRED_PARAMETER: Required parameter. (key = data)"
    assert re.fullmatch(r"ERROR_NOT_FOUND: .* \(event_id = x\)", NotFound("event_id", "x").details)
