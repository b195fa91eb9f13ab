"""The rows at one point of an aggregation: the names a stage may refer to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from event_service.errors import QueryError
from event_service.query.fields import NO_FIELD, FieldKind, FieldPath, FieldSet, Origin, check_key, is_unicode

MAX_NAME_LENGTH = 256
MAX_COLUMNS = 100
"""Keys of a group, fields of a group, of a project and of a pushed object."""


@dataclass(frozen=True)
class Columns:
    """The columns of the resulting rows.

    Attributes:
        keys: slot -> name in the reply, for the keys of the last group.
        fields: slot -> name in the reply; None if the rows are documents.
        row_id: the rows have an id of the database.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] | None = None
    row_id: bool = True


class Rows:
    """The rows before a stage."""

    def __init__(self, fields: FieldSet, columns: Columns | None = None) -> None:
        self.field_set = fields
        self.columns = columns or Columns()

    def find(self, key: object, at: str) -> FieldPath:
        """Return the path of a key: a field of the documents, a key or a field of the last group, or NO_FIELD.

        Raises:
            QueryError: an invalid key, or a refused field.
        """
        if self.columns.fields is None:
            return self.field_set.find(key, at)
        parts = check_key(key, at)
        for names, origin in ((self.columns.keys, Origin.GROUP_KEY), (self.columns.fields, Origin.ROW)):
            for slot, name in names.items():
                inner = _below(name, parts)
                if inner is not None:
                    return FieldPath((slot, *inner), FieldKind.ANY, origin)
        if parts == ("_id",) and self.columns.row_id:
            return FieldPath(parts, FieldKind.REFERENCE)
        return NO_FIELD


def _below(name: str, parts: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the rest of a key below a name, which may contain dots; None if the key does not start with it."""
    named = tuple(name.split("."))
    return parts[len(named) :] if parts[: len(named)] == named else None


def column_name(name: object, at: str) -> str:
    """Return a name that the caller gives to a column, checked.

    Raises:
        QueryError: missing, too long, or with a leading `$` or a NUL.
    """
    if not isinstance(name, str) or not name:
        raise QueryError.at(at, "a name is required")
    if name.startswith("$") or "\0" in name or len(name) > MAX_NAME_LENGTH or not is_unicode(name):
        raise QueryError.at(at, f"must be at most {MAX_NAME_LENGTH} characters, without a leading '$' and without NUL")
    return name
