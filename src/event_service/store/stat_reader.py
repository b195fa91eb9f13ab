"""Answers statistics queries over any collection."""

from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection

from event_service.errors import FieldViolation, QueryError, TooLarge
from event_service.model.scope import Scope
from event_service.query.fields import FieldSet
from event_service.query.filter import timeless
from event_service.query.list_query import PageRequest
from event_service.query.stat_query import StatQuery
from event_service.query.stat_rows import Columns
from event_service.query.stat_stages import Accumulator, Count, Group, Project, ProjectOperator, Stage
from event_service.store import raw_batches
from event_service.store.client import CODEC_OPTIONS, caller_query
from event_service.store.compile import both, compile_filter, compile_times, stored_names
from event_service.store.compile_stat import compile_count, compile_stages
from event_service.store.driver_errors import distinct_too_large
from event_service.store.json_values import plain, sorted_where_comparable
from event_service.store.reply_limit import DEFAULT_LIMIT
from event_service.store.totals.rollup_groups import rollup_group
from event_service.store.totals.rollup_query import rollup_query_of
from event_service.store.totals.rollups import Rollups

MAX_ROWS = 100_000
"""Maximum number of rows of a stat."""

_FIELD_BYTES = 10
"""About what a field of a row takes in the reply more than in BSON, without its name."""

_RAW_CODEC_OPTIONS = CODEC_OPTIONS.with_options(document_class=RawBSONDocument)


class StatReader:
    """Statistics over one collection. Blocking: for worker threads.

    Args:
        collection: its options set read preference and read concern.
        fields: the allow-list of fields.
        max_time_ms: maxTimeMS of a query.
        max_bytes: about the maximum size of a reply.
    """

    def __init__(
        self,
        collection: Collection[dict[str, Any]],
        fields: FieldSet,
        *,
        max_time_ms: int,
        max_bytes: int = DEFAULT_LIMIT.size,
    ) -> None:
        self._collection = collection
        self._fields = fields
        self._max_time_ms = max_time_ms
        self._max_bytes = max_bytes

    def stat(self, scope: Scope, query: StatQuery, rollups: Rollups | None = None) -> dict[str, Any]:
        """Return the reply: `results`, and for a page `total_count`, the number of rows or values before paging.

        Args:
            rollups: answer from these if possible.

        Raises:
            QueryError: the data does not suit the query (`size` of a value that is not a list, `date_format` of one
                that is not a date).
            TooLarge: the reply has more than MAX_ROWS rows or max_bytes.
            QueryTimeout, Unavailable: the database failed.
        """
        matching = compile_filter(scope, query.where)
        try:
            with caller_query(self._max_time_ms):
                if query.stages is None:
                    return self._distinct(matching, query)
                if rollups and (rows := self._from_rollups(scope, query, rollups)) is not None:
                    return {"results": self._bounded((bson.encode(row) for row in rows), query.columns)}
                return self._aggregate(matching, query)
        except QueryError as error:
            raise _with_stages(error, query) from error

    def _from_rollups(self, scope: Scope, query: StatQuery, rollups: Rollups) -> Iterable[Mapping[str, Any]] | None:
        rollup_query, group = rollup_query_of(scope, query.where), rollup_group(query)
        if rollup_query is None or group is None:
            return None
        matching = compile_filter(scope, timeless(query.where))
        stages = compile_stages(replace(query, stages=(query.stages or ())[:1]), self._fields)

        def count_groups(since: datetime | None, before: datetime | None) -> Iterable[Mapping[str, Any]]:
            return raw_batches.rows_of(self._run([{"$match": both(matching, compile_times(since, before))}, *stages]))

        return rollups.groups(rollup_query, group, count_groups)

    def _aggregate(self, matching: dict[str, Any], query: StatQuery) -> dict[str, Any]:
        pipeline = [{"$match": matching}, *compile_stages(query, self._fields)]
        reply: dict[str, Any] = {}
        page = pipeline
        if query.page.limit:
            page = [*pipeline, {"$skip": query.page.skip}, {"$limit": query.page.limit}]
            counted = raw_batches.rows_of(self._run(compile_count(pipeline)))
            reply["total_count"] = next((row["f0"] for row in counted), 0)
        with closing(self._run(page)) as batches:
            rows = self._bounded(batches, query.columns)
        if not rows and query.stages and isinstance(query.stages[-1], Count) and not query.page.limit:
            rows = [dict.fromkeys((query.columns.fields or {}).values(), 0)]  # $count of nothing returns no row
        reply["results"] = rows
        return reply

    def _bounded(self, batches: Iterable[bytes], columns: Columns) -> list[dict[str, Any]]:
        """Return the rows of the reply; stop reading at its limits."""
        names = [*columns.keys.values(), *(columns.fields or {}).values()]
        row_bytes = sum(len(name) + _FIELD_BYTES for name in names)
        rows: list[dict[str, Any]] = []
        size = 0
        for batch in batches:
            size += len(batch)
            if size > self._max_bytes:
                raise _too_large(f"the rows exceed {self._max_bytes} bytes")
            rows += [_row(row, columns) for row in raw_batches.decoded(batch)]
            if len(rows) > MAX_ROWS:
                raise _too_large(f"more than {MAX_ROWS} rows")
            if size + len(rows) * row_bytes > self._max_bytes:
                raise _too_large(f"the rows exceed {self._max_bytes} bytes")
        return rows

    def _run(self, pipeline: list[dict[str, Any]]) -> Generator[bytes, None, None]:
        return raw_batches.aggregate(
            self._collection,
            pipeline,
            max_time_ms=self._max_time_ms,
            max_row_bytes=min(self._max_bytes, raw_batches.MAX_ROW_BYTES),
        )

    def _distinct(self, matching: dict[str, Any], query: StatQuery) -> dict[str, Any]:
        found: list[Any] = []
        if query.distinct and query.distinct.parts:
            for name in stored_names(query.distinct):
                values = self._distinct_values(name, matching)
                found += _others(values, found) if found else values
        values = [plain(value) for value in sorted_where_comparable(found)]
        if not query.page.limit:
            return {"results": values}
        return {"total_count": len(values), "results": _page_of(values, query.page)}

    def _distinct_values(self, name: str, matching: dict[str, Any]) -> list[Any]:
        # The collection's own method would decode up to 16 MiB before their size is known.
        reply = self._collection.database.command(
            "distinct",
            self._collection.name,
            key=name,
            query=matching,
            maxTimeMS=self._max_time_ms,
            readConcern=self._collection.read_concern.document,
            read_preference=self._collection.read_preference,
            codec_options=_RAW_CODEC_OPTIONS,
        )
        if len(reply.raw) > self._max_bytes:
            raise distinct_too_large(self._max_bytes)
        values: list[Any] = bson.decode(reply.raw, CODEC_OPTIONS)["values"]
        return values


def _too_large(problem: str) -> TooLarge:
    advice = "ask for a page, set a limit, group by fewer keys, or narrow the filter"
    return TooLarge.at("query.page", f"{problem}: {advice}")


def _with_stages(error: QueryError, query: StatQuery) -> QueryError:
    """Return the database's error with the stages that may have caused it as field violations."""
    suspects = {
        f"query.aggregate[{index}]": ", ".join(sorted(names))
        for index, stage in enumerate(query.stages or ())
        if (names := _type_sensitive(stage))
    }
    if not suspects or [violation.field for violation in error.violations] != ["query"]:
        return error
    violations = [FieldViolation(at, f"a value does not suit {names}") for at, names in suspects.items()]
    return QueryError("; ".join(f"{one.field}: {one.description}" for one in violations), violations=violations)


def _type_sensitive(stage: Stage) -> set[str]:
    """Return the operators of a stage that fail on values of an unexpected type."""
    if isinstance(stage, Project):
        return {str(field.operator) for field in stage.fields if field.operator not in (None, ProjectOperator.SUM)}
    if not isinstance(stage, Group):
        return set()
    merging = {str(each.accumulator) for each in stage.fields if each.accumulator is Accumulator.MERGE_OBJECTS}
    return merging | {"date_format" for key in stage.keys if key.date is not None}


def _page_of(values: list[Any], page: PageRequest) -> list[Any]:
    return values[page.skip : page.skip + (page.limit or 0)]


def _row(row: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """Return a row with the names of the reply. Fields come after keys, so that they override keys of the same name."""
    shown: dict[str, Any] = {}
    row_id = row.get("_id")
    if columns.keys and isinstance(row_id, Mapping):
        for slot, name in columns.keys.items():
            if slot in row_id:
                shown[name] = plain(row_id[slot])
    elif columns.row_id and row_id is not None:
        shown["_id"] = plain(row_id)
    if columns.fields is None:
        shown.update((name, plain(value)) for name, value in row.items() if name != "_id")
        return shown
    for slot, name in columns.fields.items():
        if slot in row:
            shown[name] = plain(row[slot])
    return shown


def _others(values: list[Any], known: list[Any]) -> list[Any]:
    """Return the values that are not known."""
    seen = {bson.encode({"": value}) for value in known}
    return [value for value in values if bson.encode({"": value}) not in seen]
