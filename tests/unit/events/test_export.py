"""Export: pages on demand, resume tokens, the limit of concurrent exports."""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from event_service.errors import InvalidArgument, Overloaded, QueryError
from event_service.events.export import Exporter, Part
from event_service.model.scope import Scope
from event_service.query.filter import Where, time_range
from event_service.store.export_reader import Position

SCOPE = Scope("domain-1")
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class FakeReader:
    """Three pages of one event."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.where = Where()

    def position_of(self, scope: Scope, created_at: datetime, event_id: str) -> Position:
        return Position(created_at, event_id, int(event_id))

    def page(self, scope: Scope, where: Where, position: Position) -> list[bytes]:
        self.asked.append(position.event_id)
        self.where = where
        number = int(position.event_id or 0) + 1
        if number > 3:
            return []
        position.created_at, position.event_id = AT, str(number)
        return [f"row {number}".encode()]


async def here(_: str, function: Any, *arguments: Any) -> Any:
    return function(*arguments)


async def parts(exporter: Exporter, token: str = "", **query: Any) -> list[Part]:
    return [part async for part in exporter.export(SCOPE, query, {}, token)]


async def test_export_yields_all_pages_with_tokens() -> None:
    pages = await parts(Exporter(FakeReader(), here))
    assert pages == [Part([f"row {n}".encode()], f"2026-03-01T12:00:00.000Z/{n}") for n in (1, 2, 3)]


async def test_export_resumes_from_a_token() -> None:
    pages = await parts(Exporter(FakeReader(), here), "2026-03-01T12:00:00.000Z/2")
    assert [part.events for part in pages] == [[b"row 3"]]


async def test_relative_times_count_from_the_clock() -> None:
    reader = FakeReader()
    query = [{"k": "created_at", "v": "now-1h", "o": "timediff_gte"}]
    await parts(Exporter(reader, here, clock=lambda: AT), filter=query)
    assert time_range(reader.where).since == AT - timedelta(hours=1)


async def test_pages_are_read_on_demand() -> None:
    reader = FakeReader()
    async with aclosing(Exporter(reader, here).export(SCOPE, {}, {})) as pages:
        assert reader.asked == []
        await anext(pages)
        assert reader.asked == [""]


@pytest.mark.parametrize("token", ["x", "2026-03-01", "2026-03-01/", "/event-1", "yesterday/event-1"])
async def test_invalid_tokens_are_refused(token: str) -> None:
    with pytest.raises(InvalidArgument, match="resume_token"):
        await parts(Exporter(FakeReader(), here), token)


async def test_unsupported_queries_are_refused() -> None:
    for query in ({"sort": [{"key": "title"}]}, {"only": ["title"]}, {"page": {"limit": 3}}):
        with pytest.raises(InvalidArgument, match="is not supported here"):
            await parts(Exporter(FakeReader(), here), **query)
    with pytest.raises(QueryError):
        await parts(Exporter(FakeReader(), here), filter=[{"k": "colour", "v": "red", "o": "eq"}])


async def test_exports_over_the_limit_are_refused() -> None:
    exporter = Exporter(FakeReader(), here, most=1)
    async with aclosing(exporter.export(SCOPE, {}, {})) as pages:
        await anext(pages)
        with pytest.raises(Overloaded):
            await parts(exporter)
    assert len(await parts(exporter)) == 3


async def test_exports_of_another_domain_are_not_refused() -> None:
    exporter = Exporter(FakeReader(), here, most=2)
    async with aclosing(exporter.export(SCOPE, {}, {})) as one, aclosing(exporter.export(SCOPE, {}, {})) as two:
        await anext(one)
        await anext(two)
        with pytest.raises(Overloaded):
            await parts(exporter)
        assert [part async for part in exporter.export(Scope("domain-2"), {}, {})]
