"""Values that a Struct cannot hold, with their path."""

from event_service.errors import InvalidArgument
from event_service.wire.nesting import MAX_LEVEL

NOT_FINITE = "NaN and infinite numbers cannot be written as JSON"
NOT_UNICODE = "half of a surrogate pair is not a character and cannot be written as UTF-8"
TOO_BIG = "the number does not fit into a double"

_LONGEST_PATH = 300  # characters: the path goes into a header


class RefusedValueError(Exception):
    """A value that a Struct cannot hold. Each level adds its step to the path as the error propagates.

    Attributes:
        problem: the error text after the path.
        steps: keys (str) and list positions (int), innermost first.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.steps: list[str | int] = []

    def at(self, root: str) -> InvalidArgument:
        """Return the error for the caller, with the path below `root`: `data.a[3]: ...`."""
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in reversed(self.steps))
        # A key with a lone surrogate would make the error itself unencodable.
        path = (root + "".join(steps)).encode(errors="replace").decode()
        if len(path) > _LONGEST_PATH:
            path = path[: _LONGEST_PATH - 1] + "…"
        return InvalidArgument.at(path, self.problem)


class TooDeepError(RefusedValueError):
    """A message below MAX_LEVEL. Its path is long, so only the root is named."""

    def __init__(self) -> None:
        super().__init__(
            f"nested too deeply: a reply allows {MAX_LEVEL} protobuf message levels, and a nested object or list takes "
            "three of them inside an object and two inside a list"
        )

    def at(self, root: str) -> InvalidArgument:
        return InvalidArgument.at(root, self.problem)
