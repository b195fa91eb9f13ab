"""Ordinary gRPC clients in processes of their own, who look at what they get: speed is worth nothing if it is wrong."""

import multiprocessing
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import json_format

from bench.servers import Target
from bench.workload import create_message, read_messages
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2_grpc


class WrongAnswerError(Exception):
    """A server answered, but not with what was asked for."""


def check(target: Target, *, clients: int = 4, times: int = 3) -> None:
    """Every rpc of the benchmark, from `clients` processes at once, `times` times each.

    Raises:
        WrongAnswerError: the text lists what was wrong.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(clients) as pool:
        faults = pool.starmap(_faults, [(target, number, times) for number in range(clients)])
    if any(faults):
        raise WrongAnswerError(f"{target.name}: " + "; ".join(sorted({fault for some in faults for fault in some})))


def _faults(target: Target, client: int, times: int) -> list[str]:
    with grpc.insecure_channel(f"127.0.0.1:{target.port}") as channel:
        stub = event_pb2_grpc.EventStub(channel)
        return [fault for number in range(times) for fault in _round(stub, target, f"check-{client}-{number}")]


def _round(stub: Any, target: Target, prefix: str) -> Iterator[str]:
    names = target.names
    metadata, timeout = list(names.metadata.items()), 120
    try:
        for request, event_id in zip(read_messages("get", names)[:10], names.event_ids, strict=False):
            event = stub.get(request, metadata=metadata, timeout=timeout)
            if event.event_id != event_id or not event.raw_data.fields:
                yield f"get of {event_id} gave {event.event_id}"
        for limit in (10, 100):
            page = stub.list(read_messages(f"list{limit}", names)[0], metadata=metadata, timeout=timeout)
            if len({row.event_id for row in page.results}) != limit or page.total_count < limit:
                yield f"list({limit}) gave {len(page.results)} rows of {page.total_count}"
            if any(row.title != "load" or not row.raw_data.fields for row in page.results):
                yield f"list({limit}) gave rows without their content"
        figures = json_format.MessageToDict(
            stub.stat(read_messages("stat", names)[0], metadata=metadata, timeout=timeout)
        )
        if sum(row["count"] for row in figures["results"]) < 1:
            yield f"stat gave {figures}"
        stub.create(create_message(names, 0, prefix), metadata=metadata, timeout=timeout)
    except grpc.RpcError as error:
        yield f"{error.code().name}: {error.details()}"
