"""Runs as a process of its own: a remote plugin with the stubs of spaceone-api and nothing of ours.

    python plugin_process.py PORT

What it does follows from the payload's `do`; without one it makes an event of every member of `alerts`.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf import empty_pb2, json_format
from spaceone.api.monitoring.plugin import event_pb2, event_pb2_grpc, webhook_pb2, webhook_pb2_grpc


class Event(event_pb2_grpc.EventServicer):
    def parse(self, request, context):
        if not (request.HasField("options") and request.HasField("data")):
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REQUIRED_PARAMETER: Required parameter. (key = options)"
            )
        data = json_format.MessageToDict(request.data)
        match data.get("do"):
            case "sleep":
                time.sleep(float(data["seconds"]))
            case "crash":
                os._exit(1)
            case "refuse":
                context.abort(grpc.StatusCode.INTERNAL, "ERROR_PARSE_EVENT: the payload is not mine")
            case "answer":
                return json_format.ParseDict({"results": data["results"]}, event_pb2.EventsInfo())
            case "options":
                shown = json_format.MessageToJson(request.options, indent=None)
                return event_pb2.EventsInfo(results=[event_pb2.EventInfo(event_key="options", description=shown)])
        results = [event_pb2.EventInfo(event_key=str(alert["id"]), title="t") for alert in data.get("alerts", [])]
        return event_pb2.EventsInfo(results=results)


class Webhook(webhook_pb2_grpc.WebhookServicer):
    def init(self, request, context):
        info = webhook_pb2.WebhookPluginInfo()
        info.metadata.update({"kept": True})
        return info

    def verify(self, request, context):
        if request.options.fields["token"].string_value != "good":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "ERROR_VERIFY_PLUGIN: the token is not good")
        return empty_pb2.Empty()


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(8))
    event_pb2_grpc.add_EventServicer_to_server(Event(), server)
    webhook_pb2_grpc.add_WebhookServicer_to_server(Webhook(), server)
    nonsense = grpc.unary_unary_rpc_method_handler(lambda request, context: b"\xff\xff nonsense")
    handlers = {"parse": nonsense, "init": nonsense, "verify": nonsense}
    if len(sys.argv) > 2:
        server = grpc.server(ThreadPoolExecutor(8))
        for service in ("Event", "Webhook"):
            name = f"spaceone.api.monitoring.plugin.{service}"
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
