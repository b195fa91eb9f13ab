"""Limits of nesting, so that every protobuf client can read a payload inside a list.

protobuf parsers (C++, Java, Python's upb) give up 100 messages below the outermost one; Go and JavaScript go further.
An event is read as `EventsInfo > EventInfo > Struct`, so the limit is counted from there:
EventInfo is level 1 and raw_data's own Struct level 2. In a google.protobuf.Struct

    an object or a list inside an object   takes 3 levels (map entry, Value, and its Struct or ListValue)
    an object or a list inside a list      takes 2 (Value, and its Struct or ListValue)
    a scalar                               takes the level of its Value: 2 below an object, 1 below a list

33 nested objects are the deepest payload of objects; 32 objects around 2 lists are one level too many, although the
same payload parses as part of a CreateEventRequest. The boundary was found by experiment.
"""

MAX_LEVEL = 100
"""The deepest level of a message; the outermost message has level 0."""

PAYLOAD_LEVEL = 2
"""Level of raw_data's and additional_info's Struct in `EventsInfo > EventInfo > Struct`."""

REPLY_LEVEL = 0
"""Level of a Struct that is the whole reply, as in Event.stat."""
