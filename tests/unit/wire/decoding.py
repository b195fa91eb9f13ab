"""Decode bytes like the servicers."""

from typing import Any

from google.protobuf import struct_pb2

from event_service.rpc.methods import decode
from event_service.wire.struct_decode import struct_to_dict


def decode_struct(wire: bytes) -> dict[str, Any]:
    """Return a serialised Struct as a dict, with `data` as the path of errors.

    Raises:
        InvalidArgument: the bytes are none, or hold what cannot be taken.
    """
    return struct_to_dict(decode(struct_pb2.Struct, wire))
