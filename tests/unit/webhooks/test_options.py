import math
from functools import partial

import pytest

from event_service.errors import InvalidArgument, TooLarge
from event_service.webhooks.options import check_options, check_tags


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"duplicate_event_time": 0},
        {"duplicate_event_time": 600.5},
        {"duplicate_event_time": 315_360_000},
        {"auto_recovery": False},
        {"allow_get": True},
        {"allowed_origins": ["eventgrid.azure.net", "*"]},
        {"allowed_origins": []},
        {"auto_resolve_hours": 0},
        {"auto_resolve_hours": 0.5},
        {"auto_resolve_hours": 87_600},
        {"alerts_per_minute": 0},
        {"alerts_per_minute": 100.0},
        {"alerts_per_minute": 1_000_000},
        {"endpoint": "grpc://127.0.0.1:50051"},
        {"endpoint": "grpc://plugin.example:1/"},
        {"endpoint": "grpc://[::1]:50051"},
        {"project_id": "0a1b"},
        {"message_root": "a.b", "$where": {"": [None, 1, "\x00"]}},
    ],
    ids=str,
)
def test_valid_options(options):
    check_options("native", options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("duplicate_event_time", value)
            for value in (-1, -0.1, 315_360_001, 1e300, math.inf, math.nan, "600", True, None, [])
        ),
        *(("allow_get", value) for value in ("true", 1, None)),
        *(("allowed_origins", value) for value in ("eventgrid.azure.net", [5], [" "], None, {})),
        *(("auto_resolve_hours", value) for value in (-1, 87_601, math.inf, math.nan, "5", True, None, [])),
        *(("alerts_per_minute", value) for value in (-1, 0.5, 1_000_001, math.inf, math.nan, "5", True, None, [])),
        *(("auto_recovery", value) for value in ("false", 0, 1, None, "", {})),
        *(
            ("endpoint", value)
            for value in (
                "", None, 5, "127.0.0.1:50051", "http://127.0.0.1:50051", "grpc://127.0.0.1", "grpc://:50051",
                "grpc://a:0", "grpc://a:65536", "grpc://a:50051/path", "grpc://user@a:50051", "grpc://a:50051\n",
                "grpc://a b:50051", "grpc://a:５００",
            )
        ),
        *(("project_id", value) for value in ("", " ", 5, None, "a b", "x" * 65, "é", "{project_id}", "a\n")),
    ],
)  # fmt: skip
def test_invalid_option_refused_with_path(name, value):
    with pytest.raises(InvalidArgument) as caught:
        check_options("cloud-eye", {"other": 1, name: value})
    assert caught.value.violations[0].field == f"plugin_info.options.{name}"


def nested(depth):
    value: dict[str, object] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("check", "field"), [(partial(check_options, "native"), "plugin_info.options"), (check_tags, "tags")]
)
def test_options_that_cannot_be_read_back_refused(check, field):
    check(nested(20))
    for refused in (nested(40), {"a": math.nan}, {"a": "\ud83d"}):
        with pytest.raises(InvalidArgument) as caught:
            check(refused)
        assert caught.value.violations[0].field.startswith(field)
    with pytest.raises(TooLarge) as too_large:
        check({"a": "x" * 65_536})
    assert too_large.value.violations[0].field == field


def test_project_id_checked_for_cloud_eye_only():
    check_options("plugin-of-mine", {"project_id": 5})
    check_options("cloud-eye", {"project_id": "0a1b2c3d-4e5f"})


def test_mapping_plugin_requires_mapping():
    with pytest.raises(InvalidArgument) as refused:
        check_options("mapping", {})
    assert [violation.field for violation in refused.value.violations] == ["plugin_info.options.mapping"]
    check_options("mapping", {"mapping": {"title": "name"}})
