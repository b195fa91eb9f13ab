"""Events.Watch and `event tail` against a real process and its database."""

import json
import subprocess
import threading
from uuid import uuid4

import grpc
import pytest

from event_service._gen.event_service.v1 import alerts_pb2, alerts_pb2_grpc, events_pb2, events_pb2_grpc
from event_service._gen.spaceone.api.monitoring.v1 import alert_pb2, event_pb2
from tests.e2e.service import BIN, Service

KINDS = ("OPENED", "CHANGED", "RESOLVED")


def test_watch_yields_events_once_and_in_order(service: Service, webhook: tuple[str, str]) -> None:
    sent = [f"k{number}" for number in range(20)]
    request = events_pb2.WatchRequest(query=event_pb2.EventQuery(webhook_id=webhook[0]))
    with service.channel() as channel:
        call = events_pb2_grpc.EventsStub(channel).Watch(request, timeout=60)
        first = next(call)
        assert (first.HasField("event"), bool(first.resume_token)) == (False, True)
        for key in sent:
            service.create_event(webhook, {"event_key": key, "title": key, "severity": "INFO"})
        told = []
        while len(told) < len(sent):
            reply = next(call)
            if reply.HasField("event"):
                told.append(reply.event.event_key)
        call.cancel()
        assert told == sent
        # From an old token on, all of it comes again.
        again = events_pb2_grpc.EventsStub(channel).Watch(
            events_pb2.WatchRequest(query=request.query, resume_token=first.resume_token), timeout=60
        )
        assert [next(again).event.event_key for _ in sent] == sent
        again.cancel()


def test_alerts_watch_yields_every_change(service: Service, webhook: tuple[str, str]) -> None:
    request = alerts_pb2.AlertsWatchRequest(query=alert_pb2.AlertQuery(webhook_id=webhook[0]))
    opened, changed, resolved = (alerts_pb2.AlertChange.Value(f"ALERT_CHANGE_{kind}") for kind in KINDS)
    with service.channel() as channel:
        stub = alerts_pb2_grpc.AlertsStub(channel)
        call = stub.Watch(request, timeout=60)
        first = next(call)
        assert (first.HasField("alert"), bool(first.resume_token)) == (False, True)

        def following() -> alerts_pb2.AlertsWatchResponse:
            return next(reply for reply in call if reply.HasField("alert"))

        service.create_event(webhook, {"event_key": "k", "title": "Disk full", "severity": "WARNING"})
        reply = following()
        assert (reply.change, reply.alert.title, reply.alert.severity) == (opened, "Disk full", "WARNING")
        service.create_event(webhook, {"event_key": "k", "severity": "CRITICAL"})
        reply = following()
        assert (reply.change, reply.alert.severity) == (changed, "CRITICAL")
        this = {"alert_id": reply.alert.alert_id}
        service.call("Alert", "update", {**this, "state": "ACKNOWLEDGED"})
        reply = following()
        assert (reply.change, reply.alert.state) == (changed, alert_pb2.ACKNOWLEDGED)
        service.create_event(webhook, {"event_key": "k", "event_type": "RECOVERY"})
        assert following().change == resolved
        call.cancel()
        # From an old token on, its last state comes again.
        again = stub.Watch(
            alerts_pb2.AlertsWatchRequest(query=request.query, resume_token=first.resume_token), timeout=60
        )
        assert next(again).change == resolved
        again.cancel()
        (events,) = stub.Count(alerts_pb2.AlertsCountRequest(alert_ids=[this["alert_id"], "alert-0"])).results
        assert (events.alert_id, events.event_count, events.resolved_by) == (this["alert_id"], 3, "RECOVERED")
        assert events.first_event_at <= events.last_event_at
        assert events.duration_seconds > 0
        with pytest.raises(grpc.RpcError) as caught:
            stub.Count(alerts_pb2.AlertsCountRequest())
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_invalid_watch_is_refused(service: Service) -> None:
    request = events_pb2.WatchRequest()
    request.query.query.sort.add(key="title")
    with service.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        next(events_pb2_grpc.EventsStub(channel).Watch(request, timeout=30))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "query.sort" in caught.value.details()


@pytest.mark.parametrize("as_json", [True, False])
def test_tail_prints_events_as_they_come(service: Service, as_json: bool) -> None:
    name = f"tail-{uuid4().hex[:8]}"
    webhook = service.create_webhook(name)
    command = [str(BIN / "event-service"), "event", "tail", f"webhook={webhook[0]}", "severity=ERROR", "-n", "2"]
    process = subprocess.Popen(
        command + (["--json"] if as_json else []), env=service.environment(), stdout=subprocess.PIPE, text=True
    )
    stop = threading.Event()

    def send() -> None:
        """Until both have been seen: when the command has begun to listen is its own affair."""
        number = 0
        while not stop.wait(0.2):
            number += 1
            severity = "ERROR" if number % 2 else "INFO"
            service.create_event(
                webhook, {"event_key": f"k{number}", "title": f"{name}\n{severity}", "severity": severity}
            )

    sender = threading.Thread(target=send)
    sender.start()
    try:
        out, _ = process.communicate(timeout=60)
    finally:
        stop.set()
        sender.join()
        process.kill()
    assert process.returncode == 0
    lines = out.splitlines()
    assert len(lines) == 2
    if as_json:
        assert {json.loads(line)["severity"] for line in lines} == {"ERROR"}
    else:
        assert all(f"ERROR     ALERT  {name} ERROR" in line for line in lines)
