"""schemathesis sends valid and invalid requests by the OpenAPI document: no answer is a server error, and each has a
documented status and schema.
"""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.service import BIN, Service
from tests.fuzz.search import IS_LONG

pytestmark = [pytest.mark.fuzz, pytest.mark.xdist_group("fuzz")]

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
EXAMPLES = 300 if IS_LONG else 2
PHASES = "examples,coverage,fuzzing" if IS_LONG else "fuzzing"


def test_every_route_answers_as_the_document_says(service: Service, tmp_path: Path) -> None:
    service.create_webhook()
    done = subprocess.run(
        [
            BIN / "schemathesis",
            "run",
            f"http://{service.http_address}/openapi.json",
            f"--checks={','.join(CHECKS)}",
            f"--phases={PHASES}",
            f"--max-examples={EXAMPLES}",
            "--continue-on-failure",
            "--generation-database=none",
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=None if IS_LONG else 100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 passed" not in done.stdout
