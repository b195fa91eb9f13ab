"""The recorded list, get and stat cases, asked of the query language and the store without a server between.

`mongodb.jsonl` holds the answers where the recording was of another server or has one of upstream's faults.
"""

import json
from typing import Any

import pytest
from google.protobuf import json_format

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import EventServiceError, NotFound, RequiredParameter
from event_service.model.scope import Scope
from event_service.query.fields import EVENT_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.store.event_reader import EventReader
from event_service.wire.event_info import join_events_info
from tests.conformance.comparison import reply_matches, same
from tests.conformance.conftest import HERE

ABOUT_THE_CALLER = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
"""Codes that identity decides, before a query is looked at."""


def read_cases() -> list[dict[str, Any]]:
    cases, answers = (
        [json.loads(line) for line in (HERE / name).read_text(encoding="utf-8").splitlines()]
        for name in ("cases.jsonl", "mongodb.jsonl")
    )
    expect = {answer["id"]: answer["expect"] for answer in answers}
    return [case | {"expect": expect.get(case["id"], case["expect"])} for case in cases]


CASES = [case for case in read_cases() if case["expect"].get("error", {}).get("code") not in ABOUT_THE_CALLER]


def scope_of(caller: dict[str, Any]) -> Scope:
    projects = caller.get("projects")
    return Scope(caller["did"], caller.get("wid"), None if projects is None else tuple(projects))


def ask(reader: EventReader, case: dict[str, Any]) -> dict[str, Any]:
    scope, request = scope_of(case["as"]), case["request"]
    if case["rpc"] == "get":
        if not request.get("event_id"):
            raise RequiredParameter("event_id")
        wire = reader.get(scope, request["event_id"])
        if wire is None:
            raise NotFound("event_id", request["event_id"])
        return as_json(event_pb2.EventInfo.FromString(wire))
    if case["rpc"] == "list":
        equals = {name: value for name, value in request.items() if name != "query"}
        page = reader.list(scope, parse_list_query(request.get("query"), equals, EVENT_FIELDS))
        return as_json(event_pb2.EventsInfo.FromString(join_events_info(page.rows, page.total_count)))
    return reader.stat(scope, parse_stat_query(request.get("query"), EVENT_FIELDS))


def as_json(message: Any) -> dict[str, Any]:
    reply: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return reply


def outcome(reader: EventReader, case: dict[str, Any]) -> dict[str, Any] | EventServiceError:
    try:
        return ask(reader, case)
    except EventServiceError as error:
        return error


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_answers_as_recorded(case: dict[str, Any], reader: EventReader) -> None:
    got = outcome(reader, case)
    expect = case["expect"]
    if isinstance(got, EventServiceError):
        wanted = expect.get("error") or ({"code": "INVALID_ARGUMENT"} if "not" in expect else None)
        assert wanted, f"refused: {got.details}"
        assert got.code == wanted["code"]
        assert got.reason == wanted.get("class", got.reason), got.details
        assert got.details == wanted.get("details", got.details)
    elif "not" in expect:
        assert not same(expect["not"], got, unordered=True)
    else:
        assert "response" in expect, got
        assert reply_matches(case, got), got
