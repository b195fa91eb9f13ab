"""Runs each coverage-guided target for some seconds, starting from examples.

What a search of `make fuzz` finds on its way is kept in `.fuzz/`, where the next one goes on; what makes a target fail
is printed, and belongs into the tests of what has failed.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.payload_mutations import PAYLOADS
from tests.fuzz.search import IS_LONG, SECONDS
from tests.unit.query.corpus import EXPLODING_PATTERNS, HOSTILE_QUERIES
from tests.unit.wire.nesting import example, nested_wire

CHECKOUT = Path(__file__).resolve().parents[2]


def parser_seeds() -> Iterator[bytes]:
    for number, path in enumerate(sorted(PAYLOADS.glob("*.json"))):
        yield bytes([number % 256]) + path.read_bytes()


def struct_seeds() -> Iterator[bytes]:
    yield example().SerializeToString()
    for shape in ("o", "ol", "o" * 33, "o" + "l" * 48, "o" * 34, "o" * 200):
        yield nested_wire(shape)


def query_seeds() -> Iterator[bytes]:
    for row in HOSTILE_QUERIES:
        yield bytes(["stat" in row]) + json.dumps(row["stat" if "stat" in row else "list"]).encode()
    for pattern in [*EXPLODING_PATTERNS, "^cpu", "(web|db)-[0-9]{1,3}"]:
        yield b"\0" + json.dumps({"filter": [{"k": "title", "o": "regex", "v": pattern}]}).encode()
    for line in (CHECKOUT / "tests" / "conformance" / "cases.jsonl").read_text().splitlines():
        query = json.loads(line).get("request", {}).get("query")
        if isinstance(query, dict):
            yield bytes(["aggregate" in query or "distinct" in query]) + json.dumps(query).encode()


SEEDS = {"parsers": parser_seeds, "structs": struct_seeds, "queries": query_seeds}


@pytest.mark.fuzz
@pytest.mark.parametrize("target", list(SEEDS))
def test_a_search_finds_nothing(target: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this platform")
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    for number, seed in enumerate(SEEDS[target]()):
        (seeds / str(number)).write_bytes(seed)
    found = (CHECKOUT / ".fuzz" if IS_LONG else tmp_path) / target
    found.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            f"tests.fuzz.atheris_{target}",
            f"-max_total_time={SECONDS}",
            f"-artifact_prefix={found.parent}/{target}-",
            "-timeout=10",
            str(found),
            str(seeds),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=SECONDS + 100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
