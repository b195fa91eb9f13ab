"""The tools whose payload is one event: one table each, in the order of detection."""

from event_service.normalize.tools.alerta import ALERTA
from event_service.normalize.tools.apprise import APPRISE
from event_service.normalize.tools.checkly import CHECKLY
from event_service.normalize.tools.cloud_eye_alarm import CLOUD_EYE_ALARM
from event_service.normalize.tools.grafana_oncall import GRAFANA_ONCALL, GRAFANA_ONCALL_WEBHOOK
from event_service.normalize.tools.graylog import GRAYLOG
from event_service.normalize.tools.healthchecks import HEALTHCHECKS
from event_service.normalize.tools.influxdb import INFLUXDB
from event_service.normalize.tools.kapacitor import KAPACITOR
from event_service.normalize.tools.librenms import LIBRENMS
from event_service.normalize.tools.monit import MONIT
from event_service.normalize.tools.nagios import NAGIOS
from event_service.normalize.tools.netdata import NETDATA, NETDATA_CLOUD, NETDATA_REACHABILITY
from event_service.normalize.tools.pingdom import PINGDOM
from event_service.normalize.tools.prtg import PRTG
from event_service.normalize.tools.robusta import ROBUSTA
from event_service.normalize.tools.slack import SLACK
from event_service.normalize.tools.solarwinds import SOLARWINDS
from event_service.normalize.tools.splunk_oncall import SPLUNK_ONCALL
from event_service.normalize.tools.statuscake import STATUSCAKE
from event_service.normalize.tools.table import ToolTable
from event_service.normalize.tools.uptime_kuma import UPTIME_KUMA
from event_service.normalize.tools.uptimerobot import UPTIMEROBOT
from event_service.normalize.tools.zabbix_connector import ZABBIX_CONNECTOR

TOOLS: tuple[ToolTable, ...] = (
    UPTIME_KUMA,
    ZABBIX_CONNECTOR,
    NETDATA,
    NETDATA_CLOUD,
    NETDATA_REACHABILITY,
    ALERTA,
    ROBUSTA,
    CLOUD_EYE_ALARM,
    HEALTHCHECKS,
    KAPACITOR,
    INFLUXDB,
    GRAYLOG,
    CHECKLY,
    PINGDOM,
    STATUSCAKE,
    UPTIMEROBOT,
    PRTG,
    LIBRENMS,
    SOLARWINDS,
    SPLUNK_ONCALL,
    GRAFANA_ONCALL,
    GRAFANA_ONCALL_WEBHOOK,
    # These look at more than the names at the top.
    APPRISE,
    SLACK,
    MONIT,
    NAGIOS,
)

__all__ = ["TOOLS", "ToolTable"]
