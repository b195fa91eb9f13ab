"""The fields of a resource: the allow-list of every query."""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from event_service.errors import QueryError
from event_service.model.webhook import is_secret_name

MAX_KEY_LENGTH = 1024
MAX_KEY_DEPTH = 90
"""MongoDB nests documents 100 deep."""

_OPERATOR_SUFFIX = re.compile(".__", re.DOTALL)


class FieldKind(StrEnum):
    """The type of a field."""

    TEXT = "text"
    TEXTS = "texts"
    """A list of strings."""
    NUMBER = "number"
    DATE = "date"
    DYNAMIC = "dynamic"
    """An object of any shape."""
    ANY = "any"
    """Any JSON value: below a dynamic field, or a member of a list."""
    REFERENCE = "reference"
    """An id of the database. Supports count, group and sort, but not filters."""


class Origin(StrEnum):
    """The start of a path."""

    ROW = "row"
    """A document, or a row of an earlier stage."""
    GROUP_KEY = "group_key"
    """A key of an earlier group stage."""
    NOWHERE = "nowhere"
    """No such field: it is missing from every row."""


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A field, or a path below a dynamic one.

    Attributes:
        parts: names from the outermost to the innermost; keys of the payload are unescaped.
    """

    parts: tuple[str, ...]
    kind: FieldKind
    origin: Origin = Origin.ROW

    @property
    def name(self) -> str:
        return ".".join(self.parts)


NO_FIELD = FieldPath((), FieldKind.ANY, Origin.NOWHERE)


@dataclass(frozen=True, slots=True)
class SortKey:
    """One level of an order."""

    path: FieldPath
    descending: bool = False


@dataclass(frozen=True)
class FieldSet:
    """The fields of one resource.

    Attributes:
        kinds: every readable field by name.
        aliases: other names of them, or of a path below a dynamic field.
        minimal: the fields of a minimal list.
        keyword_fields: the fields that `keyword` searches.
        default_order: the order of a list without sort; the row's id follows, in the direction of the last key.
        references: ids of the database, for stat and sort.
        refused: fields that no query may name.
        unsearchable: fields that may be selected, but not filtered, sorted or counted, since they hold a secret in
            databases that upstream wrote.
        holds_secret: returns True for paths below a field that are unsearchable too.
    """

    resource: str
    kinds: Mapping[str, FieldKind]
    minimal: tuple[str, ...]
    keyword_fields: tuple[str, ...]
    default_order: tuple[tuple[str, bool], ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    references: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    unsearchable: frozenset[str] = frozenset()
    holds_secret: Callable[[tuple[str, ...]], bool] = lambda _parts: False

    def resolve(self, key: object, at: str, *, select: bool = False) -> FieldPath:
        """Return the field of a key.

        Args:
            at: path of the key in the request, for the error.
            select: the field is selected, not searched.

        Raises:
            QueryError: an unknown field, a name that looks like an operator, or a refused field.
        """
        parts = check_key(key, at)
        found = self._locate(parts, at, select=select)
        if found is None or found.kind is FieldKind.REFERENCE:
            near = difflib.get_close_matches(parts[0][:64], self.kinds, n=1, cutoff=0.75) if found is None else []
            meant = f"; did you mean {near[0]!r}?" if near and near[0] != parts[0] else ""
            raise QueryError.at(at, f"{self.resource} has no field {'.'.join(parts)!r}{meant}")
        if found.kind is FieldKind.ANY and select and self.kinds[found.parts[0]] is not FieldKind.DYNAMIC:
            raise QueryError.at(at, f"a member of {found.parts[0]!r} cannot be selected")
        if any(_OPERATOR_SUFFIX.search(part) for part in found.parts):
            raise QueryError.at(at, f"{found.name!r} contains '__'; put operators into their own field")
        return found

    def find(self, key: object, at: str) -> FieldPath:
        """Return the field of a key, or NO_FIELD.

        Raises:
            QueryError: an invalid key, or a refused field.
        """
        return self._locate(check_key(key, at), at, select=False) or NO_FIELD

    def path(self, name: str) -> FieldPath:
        """Return the field of this name, for keys that the program itself writes."""
        return FieldPath((name,), self.kinds[name])

    def default_sort(self) -> tuple[SortKey, ...]:
        """Return the order of a list that gives none."""
        return tuple(SortKey(self.path(name), descending) for name, descending in self.default_order)

    def _locate(self, parts: tuple[str, ...], at: str, *, select: bool) -> FieldPath | None:
        if len(parts) == 1 and parts[0] in self.aliases:
            parts = tuple(self.aliases[parts[0]].split("."))
        root = parts[0]
        if root in self.refused or (root in self.unsearchable and not select):
            raise QueryError.at(at, f"{root!r} cannot be queried")
        if not select and self.holds_secret(parts):
            raise QueryError.at(at, f"{'.'.join(parts)!r} cannot be queried: it may hold a secret")
        if len(parts) == 1 and root in self.references:
            return FieldPath((root,), FieldKind.REFERENCE)
        kind = self.kinds.get(root)
        if kind is None:
            return None
        if len(parts) == 1:
            return FieldPath((root,), kind)
        if kind in {FieldKind.DYNAMIC, FieldKind.TEXTS}:
            return FieldPath(parts, FieldKind.ANY)
        return None


def check_key(key: object, at: str) -> tuple[str, ...]:
    """Return the parts of a dotted key.

    Raises:
        QueryError: not a string, empty, too long or too deep, or with a part that starts with `$` or holds NUL.
    """
    if not isinstance(key, str) or not key:
        raise QueryError.at(at, "a field name is required")
    if len(key) > MAX_KEY_LENGTH:
        raise QueryError.at(at, f"longer than {MAX_KEY_LENGTH} characters")
    parts = tuple(key.split("."))
    if len(parts) > MAX_KEY_DEPTH:
        raise QueryError.at(at, f"more than {MAX_KEY_DEPTH} names deep")
    if "\0" in key or any(part.startswith("$") for part in parts):
        raise QueryError.at(at, f"{key!r} is not a field name: '$' and NUL are not allowed")
    if not is_unicode(key):
        raise QueryError.at(at, "contains half of a surrogate pair")
    return parts


def is_unicode(text: str) -> bool:
    """Return False for half of a surrogate pair, which neither protobuf nor BSON can carry."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


EVENT_FIELDS = FieldSet(
    resource="Event",
    kinds={
        "event_id": FieldKind.TEXT,
        "event_key": FieldKind.TEXT,
        "event_type": FieldKind.TEXT,
        "title": FieldKind.TEXT,
        "description": FieldKind.TEXT,
        "severity": FieldKind.TEXT,
        "rule": FieldKind.TEXT,
        "image_url": FieldKind.TEXT,
        "resources": FieldKind.TEXTS,
        "provider": FieldKind.TEXT,
        "account": FieldKind.TEXT,
        "additional_info": FieldKind.DYNAMIC,
        "raw_data": FieldKind.DYNAMIC,
        "domain_id": FieldKind.TEXT,
        "workspace_id": FieldKind.TEXT,
        "project_id": FieldKind.TEXT,
        "alert_id": FieldKind.TEXT,
        "webhook_id": FieldKind.TEXT,
        "created_at": FieldKind.DATE,
        "occurred_at": FieldKind.DATE,
    },
    minimal=("event_id", "event_key", "event_type", "title", "severity", "alert_id"),
    keyword_fields=("event_id", "title"),
    default_order=(("created_at", True),),
    aliases={"resource": "resources", "user_projects": "project_id"},
    references=frozenset({"_id", "alert"}),
)
"""EventInfo of spaceone.api.monitoring.v1."""


def _holds_secret_option(parts: tuple[str, ...]) -> bool:
    """Return True for a secret option of a webhook, and for fields that contain all options."""
    return ("plugin_info", "options")[: len(parts)] == parts or (
        parts[:2] == ("plugin_info", "options") and is_secret_name(parts[2])
    )


ALERT_FIELDS = FieldSet(
    resource="Alert",
    kinds={
        "alert_number": FieldKind.NUMBER,
        "alert_id": FieldKind.TEXT,
        "title": FieldKind.TEXT,
        "state": FieldKind.TEXT,
        "description": FieldKind.TEXT,
        "assignee": FieldKind.TEXT,
        "responder": FieldKind.TEXT,
        "urgency": FieldKind.TEXT,
        "severity": FieldKind.TEXT,
        "rule": FieldKind.TEXT,
        "image_url": FieldKind.TEXT,
        "resources": FieldKind.DYNAMIC,
        "provider": FieldKind.TEXT,
        "account": FieldKind.TEXT,
        "additional_info": FieldKind.DYNAMIC,
        "escalation_step": FieldKind.NUMBER,
        "escalation_ttl": FieldKind.NUMBER,
        "triggered_by": FieldKind.TEXT,
        "domain_id": FieldKind.TEXT,
        "workspace_id": FieldKind.TEXT,
        "project_id": FieldKind.TEXT,
        "webhook_id": FieldKind.TEXT,
        "escalation_policy_id": FieldKind.TEXT,
        "created_at": FieldKind.DATE,
        "updated_at": FieldKind.DATE,
        "acknowledged_at": FieldKind.DATE,
        "resolved_at": FieldKind.DATE,
        "escalated_at": FieldKind.DATE,
    },
    minimal=(
        "alert_number",
        "alert_id",
        "title",
        "state",
        "assignee",
        "responder",
        "urgency",
        "escalation_step",
        "escalation_ttl",
        "project_id",
    ),
    keyword_fields=("alert_id", "title"),
    default_order=(("created_at", True),),
    aliases={"resource": "resources.name", "user_projects": "project_id"},
    references=frozenset({"_id"}),
)
"""AlertInfo of spaceone.api.monitoring.v1."""

WEBHOOK_FIELDS = FieldSet(
    resource="Webhook",
    kinds={
        "webhook_id": FieldKind.TEXT,
        "name": FieldKind.TEXT,
        "state": FieldKind.TEXT,
        "webhook_url": FieldKind.TEXT,
        "capability": FieldKind.DYNAMIC,
        "plugin_info": FieldKind.DYNAMIC,
        "tags": FieldKind.DYNAMIC,
        "requests": FieldKind.DYNAMIC,
        "domain_id": FieldKind.TEXT,
        "workspace_id": FieldKind.TEXT,
        "project_id": FieldKind.TEXT,
        "created_at": FieldKind.DATE,
    },
    minimal=("webhook_id", "name", "state", "webhook_url", "project_id", "workspace_id"),
    keyword_fields=("webhook_id", "name"),
    default_order=(("name", False),),
    aliases={"user_projects": "project_id"},
    references=frozenset({"_id"}),
    refused=frozenset({"access_key"}),
    unsearchable=frozenset({"webhook_url"}),
    holds_secret=_holds_secret_option,
)
"""WebhookInfo of spaceone.api.monitoring.v1. Upstream stores the access key in clear, in webhook_url too."""
