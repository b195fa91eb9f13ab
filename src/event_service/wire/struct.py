"""google.protobuf.Struct to and from Python values: the public names of `struct_decode` and `struct_encode`."""

from event_service.wire.struct_decode import list_to_python, struct_to_dict, struct_wire, value_to_python
from event_service.wire.struct_encode import encode_stored_struct, encode_struct

__all__ = [
    "encode_stored_struct",
    "encode_struct",
    "list_to_python",
    "struct_to_dict",
    "struct_wire",
    "value_to_python",
]
