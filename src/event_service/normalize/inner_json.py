"""JSON inside a text of a payload, by the rules that the payload itself is under."""

from event_service.normalize.result import Json, ParseError
from event_service.wire.json_text import NestedTooDeeply, NotJson, NotWritable, TooManyValues, parse_json


def read_inner_json(written: bytes, path: str) -> Json:
    """The value of a text that may be JSON.

    Args:
        written: UTF-8.
        path: where the text stands in its payload.

    Raises:
        ValueError: it is no JSON, or more of it than anybody reads.
        ParseError: it is JSON that could not be stored: NaN, an infinity, half of a surrogate pair.
    """
    try:
        return parse_json(written)
    except NotWritable as problem:
        raise ParseError.at(path, f"is no JSON that can be stored: {problem}", "not-json") from None
    except (NotJson, NestedTooDeeply, TooManyValues) as problem:
        raise ValueError("no JSON that can be read") from problem
