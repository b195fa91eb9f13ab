"""StatusCake's webhook: a form.

Source: https://www.statuscake.com/kb/knowledge-base/how-to-use-the-web-hook-url/
"""

from event_service.model.event import Severity
from event_service.normalize.tools.table import ToolTable

STATUSCAKE = ToolTable(
    name="statuscake",
    marks=("StatusCode", "Status", "URL"),
    key=("URL", "Name"),
    titles=("Name", "URL"),
    states=("Status",),
    otherwise=Severity.CRITICAL,
    rules=("Name",),
    resources=("URL", "IP"),
    info={"status_code": "StatusCode", "check_rate": "Checkrate", "tags": "Tags", "method": "Method"},
)
