"""Every rule of a Cloud Eye body, at both sides of every limit."""

from datetime import UTC, datetime
from typing import Any

import pytest

from event_service.http.cloud_eye.events import milliseconds_of
from event_service.http.cloud_eye.validation import Rules, find_faults, is_project_id

NOW = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
NOW_MS = milliseconds_of(NOW)
SEED = Rules()
NEWER = Rules("newer")


def item(**fields: Any) -> dict[str, Any]:
    return {"event_name": "systemInvaded", "event_source": "financial.System", "time": NOW_MS, "detail": {}, **fields}


def detail(**fields: Any) -> dict[str, Any]:
    return item(detail=fields)


def faults(body: Any, rules: Rules = SEED) -> list[str]:
    return [str(fault) for fault in find_faults(body, NOW, rules)]


ALLOWED = {
    "the shortest of all": item(event_name="a", event_source="abc.def"),
    "event_name of 64": item(event_name="a" * 64),
    "event_name of all kinds": item(event_name="Zz_09"),
    "event_source of 32 and 32": item(event_source="a" * 32 + "." + "B" * 32),
    "event_source of all kinds": item(event_source="a_1.Z_9"),
    "event_source of the system": item(event_source="SYS.ECS"),
    "time at the lower end": item(time=NOW_MS - 3_580_000),
    "time at the upper end": item(time=NOW_MS + 580_000),
    "content, empty": detail(content=""),
    "content of 4096": detail(content="x" * 4096),
    "content of 4096 outside the basic plane": detail(content="\U0001f600" * 4096),
    "content, null": detail(content=None),
    "resource_id of 128 and all kinds": detail(resource_id="Az09_-:" + "x" * 121),
    "resource_id, empty": detail(resource_id=""),
    "resource_name of 128 and all kinds": detail(resource_name="Az09_-" + "x" * 122),
    "resource_name, empty": detail(resource_name=""),
    "event_state normal": detail(event_state="normal"),
    "event_state warning": detail(event_state="warning"),
    "event_state incident": detail(event_state="incident"),
    "event_state, null": detail(event_state=None),
    "event_level Critical": detail(event_level="Critical"),
    "event_level Major": detail(event_level="Major"),
    "event_level Minor": detail(event_level="Minor"),
    "event_level Info": detail(event_level="Info"),
    "event_level, null": detail(event_level=None),
    "event_user of 64 and all kinds": detail(event_user="Az09_-/ " + "x" * 56),
    "event_user, empty": detail(event_user=""),
    "event_type": detail(event_type="EVENT.CUSTOM"),
    "event_type, null": detail(event_type=None),
    "sub_event_type": detail(sub_event_type="SUB_EVENT.CUSTOM"),
    "group_id of 128": detail(group_id="g" * 128),
    "group_id, empty": detail(group_id=""),
    "no dimensions": detail(dimensions=[]),
    "dimensions, null": detail(dimensions=None),
    "four dimensions": detail(dimensions=[{"name": f"d{index}", "value": "v"} for index in range(4)]),
    "a dimension's name of 32": detail(dimensions=[{"name": "a" + "_-0Z" * 7 + "bcd", "value": "v"}]),
    "a dimension's value of 256": detail(dimensions=[{"name": "d", "value": "é\n" * 128}]),
    "unknown fields": {**item(), "__proto__": {"x": 1}, "more": None},
    "unknown fields of detail": detail(foo=[1, 2.5]),
}

REFUSED = {
    "event_name missing": ({"event_source": "abc.def", "time": NOW_MS, "detail": {}}, ".event_name is mandatory"),
    "event_name null": (item(event_name=None), ".event_name is mandatory"),
    "event_name empty": (item(event_name=""), ".event_name must"),
    "event_name of 65": (item(event_name="a" * 65), ".event_name must"),
    "event_name with a digit first": (item(event_name="1a"), ".event_name must"),
    "event_name with an underscore first": (item(event_name="_a"), ".event_name must"),
    "event_name with a hyphen": (item(event_name="a-b"), ".event_name must"),
    "event_name with a line feed at the end": (item(event_name="a\n"), ".event_name must"),
    "event_name with an accent": (item(event_name="é"), ".event_name must"),
    "event_name full width": (item(event_name="ａ"), ".event_name must"),
    "event_name with NUL": (item(event_name="a\x00"), ".event_name must"),
    "event_name a number": (item(event_name=1), ".event_name must be a string, not a number"),
    "event_name a list": (item(event_name=["a"]), ".event_name must be a string, not an array"),
    "event_name a boolean": (item(event_name=True), ".event_name must be a string, not a boolean"),
    "event_source missing": ({"event_name": "a", "time": NOW_MS, "detail": {}}, ".event_source is mandatory"),
    "event_source empty": (item(event_source=""), ".event_source must"),
    "event_source of 2": (item(event_source="ab.abc"), ".event_source must"),
    "event_source with an item of 2": (item(event_source="abc.ab"), ".event_source must"),
    "event_source of 33": (item(event_source="a" * 33 + ".abc"), ".event_source must"),
    "event_source with an item of 33": (item(event_source="abc." + "a" * 33), ".event_source must"),
    "event_source without a dot": (item(event_source="abcdef"), ".event_source must"),
    "event_source with two dots": (item(event_source="abc.def.ghi"), ".event_source must"),
    "event_source with a digit first": (item(event_source="1bc.def"), ".event_source must"),
    "event_source with a digit first in its item": (item(event_source="abc.1ef"), ".event_source must"),
    "event_source with a hyphen": (item(event_source="abc.d-f"), ".event_source must"),
    "event_source with a line feed at the end": (item(event_source="abc.def\n"), ".event_source must"),
    "time missing": ({"event_name": "a", "event_source": "abc.def", "detail": {}}, ".time is mandatory"),
    "time null": (item(time=None), ".time is mandatory"),
    "time 1 ms too early": (item(time=NOW_MS - 3_580_001), ".time must be between"),
    "time 1 ms too late": (item(time=NOW_MS + 580_001), ".time must be between"),
    "time in seconds": (item(time=NOW_MS // 1000), "looks like seconds"),
    "time in microseconds": (item(time=NOW_MS * 1000), "looks like microseconds"),
    "time 0": (item(time=0), ".time must be between"),
    "time negative": (item(time=-1), ".time must be between"),
    "time beyond all": (item(time=10**30), ".time must be between"),
    "time a fraction": (item(time=NOW_MS + 0.5), "without a fraction"),
    "time a double": (item(time=float(NOW_MS)), "without a fraction"),
    "time a string": (item(time=str(NOW_MS)), "not a string"),
    "time a boolean": (item(time=True), "not a boolean"),
    "time an object": (item(time={}), "not an object"),
    "detail missing": ({"event_name": "a", "event_source": "abc.def", "time": NOW_MS}, ".detail is mandatory"),
    "detail null": (item(detail=None), ".detail is mandatory"),
    "detail a list": (item(detail=[]), ".detail must be an object, not an array"),
    "detail a boolean": (item(detail=False), ".detail must be an object, not a boolean"),
    "content of 4097": (detail(content="x" * 4097), ".detail.content must be at most 4096 characters, not 4097"),
    "content a number": (detail(content=1), ".detail.content must be a string"),
    "resource_id of 129": (detail(resource_id="x" * 129), ".detail.resource_id must"),
    "resource_id with a dot": (detail(resource_id="a.b"), ".detail.resource_id must"),
    "resource_id with a slash": (detail(resource_id="a/b"), ".detail.resource_id must"),
    "resource_id with a space": (detail(resource_id="a b"), ".detail.resource_id must"),
    "resource_id with an accent": (detail(resource_id="é"), ".detail.resource_id must"),
    "resource_id a number": (detail(resource_id=1), ".detail.resource_id must"),
    "resource_name of 129": (detail(resource_name="x" * 129), ".detail.resource_name must"),
    "resource_name with a colon": (detail(resource_name="a:b"), ".detail.resource_name must"),
    "resource_name with a dot": (detail(resource_name="a.b"), ".detail.resource_name must"),
    "resource_name with a space": (detail(resource_name="a b"), ".detail.resource_name must"),
    "event_state unknown": (detail(event_state="error"), ".detail.event_state must"),
    "event_state empty": (detail(event_state=""), ".detail.event_state must"),
    "event_state in capitals": (detail(event_state="Normal"), ".detail.event_state must"),
    "event_state with a blank": (detail(event_state=" normal"), ".detail.event_state must"),
    "event_state a list": (detail(event_state=[]), ".detail.event_state must"),
    "event_level in small letters": (detail(event_level="critical"), ".detail.event_level must"),
    "event_level in capitals": (detail(event_level="CRITICAL"), ".detail.event_level must"),
    "event_level empty": (detail(event_level=""), ".detail.event_level must"),
    "event_level a number": (detail(event_level=1), ".detail.event_level must"),
    "event_user of 65": (detail(event_user="x" * 65), ".detail.event_user must"),
    "event_user with a tab": (detail(event_user="a\tb"), ".detail.event_user must"),
    "event_user with a no-break space": (detail(event_user="a\u00a0b"), ".detail.event_user must"),
    "event_user with @": (detail(event_user="a@b"), ".detail.event_user must"),
    "event_user a number": (detail(event_user=1), ".detail.event_user must"),
    "event_type of the system": (detail(event_type="EVENT.SYS"), "system events cannot be reported"),
    "event_type unknown": (detail(event_type="CUSTOM"), ".detail.event_type must"),
    "event_type empty": (detail(event_type=""), ".detail.event_type must"),
    "event_type a number": (detail(event_type=1), ".detail.event_type must"),
    "sub_event_type unknown": (detail(sub_event_type="SUB_EVENT.OPS"), ".detail.sub_event_type must"),
    "group_id of 129": (detail(group_id="g" * 129), ".detail.group_id must"),
    "group_id a number": (detail(group_id=1), ".detail.group_id must"),
    "dimensions an object": (detail(dimensions={}), ".detail.dimensions must be an array"),
    "five dimensions": (detail(dimensions=[{"name": "d", "value": "v"}] * 5), ".detail.dimensions must hold at most 4"),
    "a dimension that is a string": (detail(dimensions=["d"]), ".detail.dimensions[0] must be an object"),
    "a dimension without a name": (detail(dimensions=[{"value": "v"}]), ".detail.dimensions[0].name is mandatory"),
    "a dimension without a value": (detail(dimensions=[{"name": "d"}]), ".detail.dimensions[0].value is mandatory"),
    "a dimension's name of 33": (detail(dimensions=[{"name": "d" * 33, "value": "v"}]), ".detail.dimensions[0].name"),
    "a dimension's name with a digit first": (detail(dimensions=[{"name": "1", "value": "v"}]), "dimensions[0].name"),
    "a dimension's value, empty": (detail(dimensions=[{"name": "d", "value": ""}]), "dimensions[0].value must"),
    "a dimension's value of 257": (detail(dimensions=[{"name": "d", "value": "v" * 257}]), "dimensions[0].value must"),
    "an item that is null": (None, "[0] must be an object, not null"),
    "an item that is a string": ("a", "[0] must be an object, not a string"),
}


@pytest.mark.parametrize("body", ALLOWED.values(), ids=ALLOWED.keys())
@pytest.mark.parametrize("rules", [SEED, NEWER], ids=["seed", "newer"])
def test_valid_items_are_accepted(body: Any, rules: Rules) -> None:
    assert faults([body], rules) == []


@pytest.mark.parametrize(("body", "problem"), REFUSED.values(), ids=REFUSED.keys())
def test_invalid_items_name_the_field(body: Any, problem: str) -> None:
    found = faults([body])
    assert len(found) == 1
    assert found[0].startswith("[0]")
    assert problem in found[0]


@pytest.mark.parametrize("name", ["web-1.example.com", "a@b", "主机", "㐀", "鿿" * 128])
def test_newer_edition_allows_more_resource_names(name: str) -> None:
    assert faults([detail(resource_name=name)], NEWER) == []
    assert len(faults([detail(resource_name=name)], SEED)) == 1


@pytest.mark.parametrize("name", ["a b", "a:b", "é", "鿿" * 129, "a\n"])
def test_resource_names_invalid_in_every_edition(name: str) -> None:
    assert len(faults([detail(resource_name=name)], NEWER)) == 1


@pytest.mark.parametrize("body", [{}, None, "[]", 1, {"events": [item()]}])
def test_body_must_be_an_array(body: Any) -> None:
    assert [fault.startswith("the body must be an array") for fault in faults(body)] == [True]


@pytest.mark.parametrize(("count", "problems"), [(0, 1), (1, 0), (100, 0), (101, 1)])
def test_body_must_hold_1_to_100_events(count: int, problems: int) -> None:
    assert len(faults([item() for _ in range(count)])) == problems


def test_all_faults_are_reported_with_their_paths() -> None:
    found = faults([item(), {"event_name": "1", "time": 1, "detail": {"event_level": "x", "dimensions": [{}]}}])
    assert [fault.split(" ", 1)[0] for fault in found] == [
        "[1].event_name",
        "[1].event_source",
        "[1].time",
        "[1].detail.event_level",
        "[1].detail.dimensions[0].name",
        "[1].detail.dimensions[0].value",
    ]


@pytest.mark.parametrize(("margin", "offset"), [(0, -3_600_000), (0, 600_000), (10, -3_590_000), (10, 590_000)])
def test_time_margin_is_configurable(margin: int, offset: int) -> None:
    step = 1 if offset > 0 else -1
    rules = Rules("seed", margin)
    assert faults([item(time=NOW_MS + offset)], rules) == []
    assert len(faults([item(time=NOW_MS + offset + step)], rules)) == 1


@pytest.mark.parametrize("text", ["0a1b2c3d4e5f60718293a4b5c6d7e8f9", "A-z", "x" * 64])
def test_valid_project_ids(text: str) -> None:
    assert is_project_id(text)


@pytest.mark.parametrize("text", ["", "x" * 65, "{project_id}", "a_b", "a/b", "a b", "a\n", "é"])
def test_invalid_project_ids(text: str) -> None:
    assert not is_project_id(text)
