"""Random realistic queries: most are valid, and all stages and operators occur.

From a seeded `random.Random`, a hundred times faster than Hypothesis, which can shrink failures.
"""

from random import Random
from typing import Any

Json = dict[str, Any]

TEXT_FIELDS = (
    "event_id", "event_key", "event_type", "title", "description", "severity", "rule", "provider", "account",
    "domain_id", "workspace_id", "project_id", "alert_id", "webhook_id", "resources", "resource", "user_projects",
)  # fmt: skip
BELOW = (
    "raw_data.n", "raw_data.s", "raw_data.list", "raw_data.items", "raw_data.items.v", "raw_data.items.0.v", "raw_data",
    "raw_data.absent", "additional_info.host", "additional_info", "additional_info.cpu.load",
)  # fmt: skip
DATES = ("created_at", "occurred_at")
FIELDS = (*TEXT_FIELDS, *BELOW, *DATES)
WEBHOOK_FIELDS = (
    "webhook_id", "name", "state", "domain_id", "workspace_id", "project_id", "plugin_info.plugin_id", "plugin_info",
    "plugin_info.options.n", "tags.team", "tags", "requests.total", "created_at", "user_projects",
)  # fmt: skip
REQUEST_FIELDS = (
    "event_id", "event_key", "event_type", "severity", "resource", "provider", "account", "workspace_id", "project_id",
    "alert_id", "webhook_id",
)  # fmt: skip
WEBHOOK_REQUEST_FIELDS = ("webhook_id", "name", "state", "workspace_id", "project_id")

ORDERED = ("lt", "lte", "gt", "gte")
ONE = ("eq", "not", "contain", "not_contain", "regex", *ORDERED)
MANY = ("in", "not_in", "contain_in", "not_contain_in", "regex_in")
MOMENTS = ("2024-01-01", "2025-01-01T12:00:00Z", "2025-06", "2026-01-01 00:00")
SPANS = ("now", "now-1d", "now/d-30d", "now-900d")
ACCUMULATORS = ("count", "sum", "average", "max", "min", "first", "last", "push", "add_to_set", "merge_objects")


class Queries:
    """Draws queries.

    Args:
        values: what is compared with: texts and numbers of both tenants' documents.
        fields: of the resource.
    """

    def __init__(self, seed: int, values: list[Any], fields: tuple[str, ...], request_fields: tuple[str, ...]) -> None:
        self._random = Random(seed)
        self._values = values
        self._fields = fields
        self._request_fields = request_fields
        self._dates = tuple(field for field in fields if field in DATES)

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def pick(self, options: Any) -> Any:
        return self._random.choice(options)

    def value(self) -> Any:
        return self.pick(self._values)

    def text(self) -> str:
        text = str(self.value())
        start = self._random.randrange(len(text) + 1)
        return text[start : start + self.pick((1, 3, 40))]

    def equals(self) -> dict[str, str]:
        """Return fields of the request."""
        if self.chance(0.6):
            return {}
        return {self.pick(self._request_fields): str(self.value()) for _ in range(self.pick((1, 1, 2)))}

    def filter(self) -> Json:
        field = self.pick(self._fields)
        if field in self._dates and self.chance(0.7):
            operator = self.pick(("datetime_", "timediff_")) + self.pick(ORDERED)
            return {"k": field, "v": self.pick(MOMENTS if operator[0] == "d" else SPANS), "o": operator}
        kind = self.pick(("one", "one", "one", "many", "exists", "null", "match"))
        if kind == "exists":
            return {"key": field, "value": self.chance(0.5), "operator": "exists"}
        if kind == "null":
            return {"k": field, "v": None, "o": self.pick(("eq", "not", "gte", "lte"))}
        if kind == "match":
            test = self.pick(({}, {"v": 1}, {"v": {"$gt": 0}}, {"name": {"$in": ["a", None]}}, {"v": {"$ne": 2}}))
            return {"k": self.pick(("raw_data.items", "raw_data.list", field)), "v": test, "o": "match"}
        operator = self.pick(ONE if kind == "one" else MANY)
        pick = self.text if "contain" in operator or "regex" in operator else self.value
        if "regex" in operator:
            pick = self._pattern
        return {
            "k": field,
            "v": [pick() for _ in range(self.pick((0, 1, 3)))] if kind == "many" else pick(),
            "o": operator,
        }

    def filters(self) -> Json:
        """Return some of `filter`, `filter_or` and `keyword`."""
        asked: Json = {}
        if self.chance(0.6):
            asked["filter"] = [self.filter() for _ in range(self.pick((1, 1, 2)))]
        if self.chance(0.35):
            asked["filter_or"] = [self.filter() for _ in range(self.pick((1, 2, 3)))]
        if self.chance(0.2):
            asked["keyword"] = " ".join(self.text() for _ in range(self.pick((1, 2))))
        return asked

    def list(self) -> Json:
        """Return a `Query`."""
        asked = self.filters()
        if self.chance(0.4):
            asked["sort"] = [
                {"key": self.pick(self._fields), "desc": self.chance(0.5)} for _ in range(self.pick((1, 2)))
            ]
        if self.chance(0.5):
            asked["page"] = {"start": self.pick((0, 1, 3, 100)), "limit": self.pick((1, 2, 7, 1000))}
        if self.chance(0.15):
            asked["minimal"] = True
        elif self.chance(0.4):
            asked["only"] = [self.pick(self._fields) for _ in range(self.pick((1, 2, 4)))]
        if self.chance(0.1):
            asked["count_only"] = True
        if "only" in asked and self.chance(0.4):
            asked["unwind"] = self._unwind()
        if "only" in asked and self.chance(0.3):
            asked["add_fields"] = {self.pick(("title", "raw_data.added", "name", "tags.added")): self._expression()}
        return asked

    def stat(self) -> Json:
        """Return a `StatisticsQuery`."""
        asked = self.filters()
        if self.chance(0.25):
            asked["distinct"] = self.pick(self._fields)
            if self.chance(0.3):
                asked["page"] = {"start": self.pick((1, 2)), "limit": 3}
            return asked
        stages: list[Json] = []
        if self.chance(0.25):
            stages.append({"unwind": self._unwind()})
        names = self._fields
        if self.chance(0.8):
            group, names = self._group()
            stages.append({"group": group})
            if self.chance(0.3):
                outer = {"keys": [{"k": names[0], "n": "outer"}], "fields": [{"n": "groups", "o": "count"}]}
                stages.append({"group": outer})
                names = ("outer", "groups")
        if self.chance(0.3):
            stages.append({"count": {"name": "rows"}})
        elif self.chance(0.5):
            # By every name, so that a limit always cuts the same rows.
            stages.append({"sort": [{"key": name, "desc": self.chance(0.5)} for name in names[:20]]})
            if self.chance(0.5):
                stages.append({self.pick(("limit", "skip")): self.pick((1, 2, 5))})
            if self.chance(0.3):
                stages.append(
                    {"project": {"fields": [{"k": name, "n": f"p{index}"} for index, name in enumerate(names[:3])]}}
                )
        asked["aggregate"] = stages or [{"count": {"name": "rows"}}]
        return asked

    def _pattern(self) -> str:
        return (
            self.pick(("^", "", ".*"))
            + "".join(c for c in self.text() if c.isalnum() or c == "-")
            + self.pick(("", "$", ".?"))
        )

    def _unwind(self) -> Json:
        path = self.pick(("resources", "raw_data.list", "raw_data.items", "tags.list"))
        if self.chance(0.5):
            return {"path": path}
        return {"path": path, "filter": [self.filter()]}

    def _expression(self) -> Any:
        field = f"${self.pick(self._fields)}"
        if self.chance(0.5):
            return field
        test = {self.pick(("__eq", "__ne", "__gt", "__lte")): [field, self.value()]}
        return {"if": test, "then": field, "else": self.value()}

    def _group(self) -> tuple[Json, tuple[str, ...]]:
        keys = [
            {"k": self.pick(self._dates), "n": f"k{index}", "date_format": self.pick(("year", "month", "%Y-%m-%d"))}
            if self.chance(0.2)
            else {"k": self.pick(self._fields), "n": f"k{index}"}
            for index in range(self.pick((0, 1, 1, 2)))
        ]
        fields = [self._group_field(f"f{index}") for index in range(self.pick((0, 1, 2) if keys else (1, 2)))]
        names = tuple(one["n"] for one in (*keys, *fields))
        return {"keys": keys, "fields": fields}, names

    def _group_field(self, name: str) -> Json:
        operator = self.pick(ACCUMULATORS)
        made: Json = {"n": name, "o": operator}
        if operator != "count":
            made["k"] = self.pick(self._fields)
        if operator == "push" and self.chance(0.5):
            del made["k"]
            made["fields"] = [{"k": self.pick(self._fields), "n": f"m{index}"} for index in range(2)]
        if operator in ("count", "sum", "average") and self.chance(0.5):
            made["conditions"] = [
                {"k": self.pick(self._fields), "v": self.value(), "o": self.pick(("eq", "not", "gt", "lte"))}
            ]
        return made
