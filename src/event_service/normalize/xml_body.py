"""XML bodies, such as Apprise's `xml://` notifications, as JSON objects.

Source: https://github.com/caronc/apprise/wiki/Notify_Custom_XML
"""

import re
from typing import Any, NoReturn
from xml.parsers import expat

from event_service.normalize.result import Json
from event_service.wire.json_text import NestedTooDeeply, TooManyValues

MOST_ELEMENTS = 100_000
# Deeper payloads are never stored, see wire/nesting.py.
_MOST_LEVELS = 100
_DECLARATION = re.compile(r"\s*<\?xml[^<>]*\?>")
_TEXT = "text"


class _NotAllowed(Exception):
    """The document declares entities, which could make it grow without bound."""


def is_xml(text: str, kind: str) -> bool:
    """Return True for XML by its declaration or its media type; HTML is text."""
    if kind in ("text/html", "application/xhtml+xml"):
        return False
    return bool(_DECLARATION.match(text)) or (kind.endswith(("/xml", "+xml")) and text.lstrip().startswith("<"))


def read_xml(body: bytes) -> Json | None:
    """Return the document as an object: attributes and elements by local name, repeated elements as lists.

    Elements around a single object, e.g. a SOAP envelope, are left out.

    Args:
        body: UTF-8, whatever its declaration says.

    Returns:
        None if the body is not well-formed, or declares entities.

    Raises:
        NestedTooDeeply: over 100 levels.
        TooManyValues: over MOST_ELEMENTS elements.
    """
    reader = _Reader()
    try:
        reader.parser.Parse(body, True)
    except (expat.ExpatError, _NotAllowed):
        return None
    value = reader.root
    while isinstance(value, dict):
        filled = [member for member in value.values() if member != ""]
        if len(filled) != 1 or not isinstance(filled[0], dict):
            break
        value = filled[0]
    return value


class _Reader:
    """expat's handlers. `root` is the document element in an object of its own."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._open: list[tuple[dict[str, Any], list[str]]] = [(self.root, [])]
        self._count = 0
        # Names are "namespace local".
        self.parser = expat.ParserCreate(encoding="utf-8", namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = self._refuse

    def _start(self, _name: str, attributes: dict[str, str]) -> None:
        self._count += 1 + len(attributes)
        if self._count > MOST_ELEMENTS:
            raise TooManyValues
        if len(self._open) > _MOST_LEVELS:
            raise NestedTooDeeply
        self._open.append(({_local(name): value for name, value in attributes.items()}, []))

    def _characters(self, written: str) -> None:
        self._open[-1][1].append(written)

    def _end(self, name: str) -> None:
        members, pieces = self._open.pop()
        text = "".join(pieces).strip()
        if members and text:
            members.setdefault(_TEXT, text)
        value: Json = members or text
        parent, local = self._open[-1][0], _local(name)
        if local not in parent:
            parent[local] = value
        elif isinstance(parent[local], list):
            parent[local].append(value)
        else:
            parent[local] = [parent[local], value]

    def _refuse(self, *_declaration: object) -> NoReturn:
        raise _NotAllowed


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
