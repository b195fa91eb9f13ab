"""Coverage-guided search for bytes that are wrongly accepted as a payload, or cannot be read back.

    python -m tests.fuzz.atheris_structs [libFuzzer options] [corpus folder]

The bytes are a serialised google.protobuf.Struct, or hardly.
"""

import atheris

with atheris.instrument_imports(include=["event_service"]):
    from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
    from event_service.errors import InvalidArgument
    from event_service.wire.event_info import encode_event_info, join_events_info
    from event_service.wire.scan import TooManyFields, split_field
    from event_service.wire.struct_encode import encode_struct
    from tests.unit.wire.decoding import decode_struct

from tests.fuzz.atheris_run import fuzz


def one_input(data: bytes) -> None:
    """Check that accepted bytes decode to an equal value, also inside a list."""
    try:
        rest, members = split_field(data, 1, 100)
    except (ValueError, TooManyFields):
        members = []
    else:
        assert len(rest) + sum(map(len, members)) <= len(data)
    try:
        value = decode_struct(data)
    except InvalidArgument:
        return
    wire = encode_struct(value)
    assert decode_struct(wire) == value
    reply = join_events_info([encode_event_info({"event_id": "event-1"}, raw_wire=wire)], 1)
    (row,) = event_pb2.EventsInfo.FromString(reply).results
    assert decode_struct(row.raw_data.SerializeToString()) == value


if __name__ == "__main__":
    fuzz(one_input)
