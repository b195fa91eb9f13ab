"""Collected request cases, if available: signed by the vendor's SDK, with a fixed clock."""

import importlib.util
import json
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from event_service.http.cloud_eye.events import milliseconds_of
from tests.unit.configured import configured
from tests.unit.http.cloud_eye.client import SignedClient
from tests.unit.http.fakes import NOW, HttpService

FOLDER = Path(__file__).parents[5] / "shared" / "cloud-eye"
FILE = FOLDER / "cases.jsonl"

pytestmark = [
    pytest.mark.skipif(not FILE.is_file(), reason="the shared cases are not beside this checkout"),
    pytest.mark.no_cover,  # they are not available everywhere
]

CASES = [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.is_file() else []


@cache
def filler() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cases_fill", FOLDER / "cases_fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("edition", ["seed", "newer"])
@pytest.mark.parametrize("escaped", [True, False], ids=["escaped", "utf-8"])
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
async def test_case(case: dict[str, Any], edition: str, escaped: bool) -> None:
    service = HttpService(settings=configured(cloud_eye_rules=edition))
    body = filler().fill(case, milliseconds_of(NOW), ensure_ascii=escaped)
    async with SignedClient(service) as client:
        answer = await client.post(body)
    expected = case["expect_status"]
    if edition == "newer":
        expected = case.get("newer_docs", expected)
    assert answer.status_code == expected, answer.text
    if expected == 201:
        items = json.loads(body)
        assert [entry["event_name"] for entry in answer.json()] == [item["event_name"] for item in items]
    else:
        assert not service.events.stored
        assert answer.json()["error_code"] == case.get("expect_code", answer.json()["error_code"])
    if "expect_ids" in case:
        assert len(answer.json()) == case["expect_ids"]
    if "expect_names" in case:
        assert [entry["event_name"] for entry in answer.json()] == case["expect_names"]
    if "expect_stored" in case:
        assert len(service.events.stored) == case["expect_stored"]
        assert len({entry["event_id"] for entry in answer.json()} if expected == 201 else []) == case["expect_stored"]
