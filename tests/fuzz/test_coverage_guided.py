"""Runs the coverage-guided target for some seconds, from the example payloads on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.payload_mutations import PAYLOADS

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.fuzz
def test_no_bytes_make_a_parser_fail(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this platform")
    seconds = int(os.environ.get("EVENT_SERVICE_FUZZ_SECONDS", "5"))
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, path in enumerate(sorted(PAYLOADS.glob("*.json"))):
        (corpus / path.stem).write_bytes(bytes([number % 256]) + path.read_bytes())
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.fuzz.atheris_parsers",
            f"-max_total_time={seconds}",
            f"-artifact_prefix={tmp_path}/",
            str(corpus),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=seconds + 100,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
