"""AlertInfo as bytes equals protobuf's own encoding."""

from datetime import UTC, datetime
from typing import Any

import pytest

from event_service._gen.spaceone.api.monitoring.v1 import alert_pb2
from event_service.query.fields import ALERT_FIELDS
from event_service.wire.alert_info import encode_alert_info, encode_alerts_info

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FIELDS: dict[str, Any] = {
    "alert_number": 300,
    "state": "ACKNOWLEDGED",
    "urgency": "LOW",
    "title": "디스크",
    "resources": [{"name": "db-1"}, {"resource_id": "r", "resource_type": "t", "name": ""}],
    "additional_info": {"mount": "/var", "load": 0.5},
    "created_at": NOON,
    "escalation_ttl": 0,
    "responder": None,
    "assignee": "",
}
MESSAGE = alert_pb2.AlertInfo(
    alert_number=300,
    state=alert_pb2.ACKNOWLEDGED,
    urgency=alert_pb2.LOW,
    title="디스크",
    resources=[alert_pb2.AlertResource(name="db-1"), alert_pb2.AlertResource(resource_id="r", resource_type="t")],
    additional_info={"mount": "/var", "load": 0.5},
    created_at="2026-01-01T12:00:00.000Z",
)


def test_fields_are_encoded() -> None:
    assert alert_pb2.AlertInfo.FromString(encode_alert_info(FIELDS)) == MESSAGE


def test_page_is_encoded() -> None:
    page = alert_pb2.AlertsInfo.FromString(encode_alerts_info([FIELDS, {}], 2**40))
    assert page == alert_pb2.AlertsInfo(results=[MESSAGE, alert_pb2.AlertInfo()], total_count=2**31 - 1)


@pytest.mark.parametrize("value", [-1, 2**40])
def test_numbers_out_of_range_are_cut(value: int) -> None:
    info = alert_pb2.AlertInfo.FromString(encode_alert_info({"alert_number": value}))
    assert info.alert_number in (0, 2**31 - 1)


def test_unknown_names_of_enums_are_unset() -> None:
    assert encode_alert_info({"state": "ODD", "urgency": None}) == b""


def test_query_fields_are_those_of_the_message() -> None:
    assert list(ALERT_FIELDS.kinds) == [field.name for field in alert_pb2.AlertInfo.DESCRIPTOR.fields]
