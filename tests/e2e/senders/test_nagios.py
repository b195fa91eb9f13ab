"""Nagios' daemon: a service that turns critical and OK again, and a host."""

from pathlib import Path

from tests.e2e.deliveries import Collectors
from tests.e2e.senders.conftest import DEBIAN, Sender, running
from tests.e2e.senders.documented import lines

MAIN = """
cfg_file={folder}/objects.cfg
log_file={folder}/nagios.log
object_cache_file={folder}/objects.cache
precached_object_file={folder}/objects.precache
status_file={folder}/status.dat
temp_file={folder}/nagios.tmp
temp_path={folder}
check_result_path={folder}/results
state_retention_file={folder}/retention.dat
lock_file={folder}/nagios.lock
command_file={folder}/nagios.cmd
query_socket={folder}/nagios.qh
nagios_user=root
nagios_group=root
check_external_commands=0
enable_notifications=1
execute_service_checks=1
interval_length=1
illegal_macro_output_chars=`~$&|'"<>
"""

OBJECTS = """
define timeperiod {{
  timeperiod_name 24x7
  alias always
  sunday 00:00-24:00
  monday 00:00-24:00
  tuesday 00:00-24:00
  wednesday 00:00-24:00
  thursday 00:00-24:00
  friday 00:00-24:00
  saturday 00:00-24:00
}}
define command {{
  command_name read-state
  command_line /bin/sh {folder}/$ARG1$
}}
define command {{
  command_name always-up
  command_line /bin/true
}}
define host {{
  host_name mill-2
  address 192.0.2.60
  check_command always-up
  max_check_attempts 1
  check_interval 1
  contacts event-service
  notification_interval 0
  notification_period 24x7
}}
define service {{
  host_name mill-2
  service_description Belt speed
  check_command read-state!belt
  max_check_attempts 1
  check_interval 1
  retry_interval 1
  check_period 24x7
  contacts event-service
  notification_interval 0
  notification_period 24x7
}}
"""


def test_problem_and_recovery(collectors: Collectors, tmp_path: Path) -> None:
    sender = Sender(collectors, "Nagios")
    (tmp_path / "results").mkdir()
    (tmp_path / "nagios.cfg").write_text(MAIN.format(folder=tmp_path))
    pasted = lines("Nagios, Naemon, Icinga, Checkmk", "", "define command", sender.url)
    (tmp_path / "objects.cfg").write_text(OBJECTS.format(folder=tmp_path) + pasted)
    belt = tmp_path / "belt"
    belt.write_text("echo 'SPEED CRITICAL - 0 m/s & falling'\nexit 2\n")
    with running([DEBIAN / "usr/sbin/nagios4", tmp_path / "nagios.cfg"], tmp_path) as log:
        problem = sender.wait_for("ALERT", log)
        belt.write_text("echo 'SPEED OK - 2 m/s'\n")
        sender.wait_for("RECOVERY", log)
    sender.check("nagios")
    assert problem["title"] == "Belt speed on mill-2"
    assert problem["severity"] == "CRITICAL"
    assert problem["occurred_at"]
