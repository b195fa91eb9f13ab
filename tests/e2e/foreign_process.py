"""Runs as a process of its own: a program with the stubs of spaceone-api, which reads calls line by line.

    foreign_process.py HOST:PORT [CA CERTIFICATE KEY]    the last three, PEM files, for mutual TLS

In: {"service": "Event", "method": "list", "request": {...}, "metadata": {...}}
Out: {"reply": {...}, "trailers": {...}} or {"code": "NOT_FOUND", "details": "ERROR_X: ..."}

Imports nothing of this project.
"""

import json
import sys
from pathlib import Path

import grpc
from google.protobuf import json_format, message_factory
from spaceone.api.monitoring.v1 import (
    alert_pb2,
    alert_pb2_grpc,
    event_pb2,
    event_pb2_grpc,
    webhook_pb2,
    webhook_pb2_grpc,
)

PROTOS = {"Alert": alert_pb2, "Event": event_pb2, "Webhook": webhook_pb2}


def call(stubs: dict[str, object], order: dict) -> dict:
    method = PROTOS[order["service"]].DESCRIPTOR.services_by_name[order["service"]].methods_by_name[order["method"]]
    message = json_format.ParseDict(order["request"], message_factory.GetMessageClass(method.input_type)())
    rpc = getattr(stubs[order["service"]], order["method"])
    try:
        reply, done = rpc.with_call(message, timeout=30, metadata=list(order["metadata"].items()))
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}
    trailers: dict[str, list[str]] = {}
    for name, value in done.trailing_metadata():
        trailers.setdefault(name, []).append(value if isinstance(value, str) else value.hex())
    return {"reply": json_format.MessageToDict(reply, preserving_proto_field_name=True), "trailers": trailers}


def channel_to(address: str, *certificates: str) -> grpc.Channel:
    if not certificates:
        return grpc.insecure_channel(address)
    authority, certificate, key = (Path(name).read_bytes() for name in certificates)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(authority, key, certificate))


def main() -> None:
    with channel_to(*sys.argv[1:]) as channel:
        stubs = {
            "Alert": alert_pb2_grpc.AlertStub(channel),
            "Event": event_pb2_grpc.EventStub(channel),
            "Webhook": webhook_pb2_grpc.WebhookStub(channel),
        }
        for line in sys.stdin:
            print(json.dumps(call(stubs, json.loads(line))), flush=True)
    assert not [name for name in sys.modules if name.startswith("event_service")]


if __name__ == "__main__":
    main()
