"""Huawei Cloud Eye's alarms, which Simple Message Notification delivers.

Source: https://support.huaweicloud.com/intl/en-us/usermanual-ces/ces_01_0015.html
"""

from event_service.model.event import Severity
from event_service.normalize.severities import State
from event_service.normalize.tools.table import ToolTable

CLOUD_EYE_ALARM = ToolTable(
    name="cloud-eye-alarm",
    marks=("alarm_id", "alarm_name", "alarm_status"),
    key=("alarm_id", "template_variable.ResourceId", "template_variable.ResourceName", "dimension", "metric_name"),
    titles=("alarm_name",),
    states=("alarm_status",),
    # Missing data resolves nothing.
    state_words={"insufficient_data": State.FIRING, "alarm": State.FIRING},
    severities=("template_variable.AlarmLevel", "alarm_level"),
    severity_words={"minor": Severity.WARNING, "informational": Severity.INFO},
    otherwise=Severity.ERROR,
    descriptions=("sms_content", "template_variable.AlarmDesc", "alarm_description"),
    rules=("alarm_name",),
    resources=("template_variable.ResourceName", "template_variable.ResourceId"),
    starts=("time",),
    ends=("time",),
    provider="huawei",
    accounts=("template_variable.AccountName",),
    info={
        "namespace": "namespace",
        "metric": "metric_name",
        "dimension": "dimension",
        "value": "value",
        "unit": "unit",
        "region": "template_variable.Region",
    },
)
