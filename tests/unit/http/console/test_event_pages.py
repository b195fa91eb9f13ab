"""The pages about events."""

import asyncio
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import pytest

from event_service.errors import Unavailable
from event_service.http.console import insight
from event_service.model.scope import Scope
from tests.unit.http.console.console_door import Console, FakeEvents, busy_webhook, event

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"'`{{7*7}}"


class Elements(HTMLParser):
    """The elements of a page as a browser sees them, near enough: names and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def assert_inert(page: str) -> None:
    """Nothing in the page runs but the console's own script, and nothing leads to a script."""
    for name, attributes in Elements(page).found:
        if name == "script":
            assert attributes == {"src": "/console/console.js", "defer": None}
        assert name not in ("style", "iframe", "object", "embed", "base")
        assert not [one for one in attributes if one.startswith("on") or one == "style"]
        assert (attributes.get("src") or "/").startswith("/console/") or name != "img"
        for link in ("href", "action", "src"):
            assert (attributes.get(link) or "/").startswith(("/", "#"))


async def test_events_are_listed_with_their_severity() -> None:
    console = Console(events=FakeEvents([event(), event("event-2", severity="", title="", event_key="k")]))
    async with console.client() as client:
        answer = await client.get("/")
    assert answer.status_code == 200
    assert 'id="event-1" class="severity-CRITICAL"' in answer.text
    assert 'id="event-2" class="severity-NONE"' in answer.text
    assert "disk full" in answer.text
    assert "prometheus" in answer.text  # the webhook's name, not its id
    assert console.events.scopes[0] == Scope("domain-1", "workspace-1")


@pytest.mark.parametrize("path", ["/", "/events/event-1", "/webhooks", "/events/nothing", "/?q=since>1"])
async def test_every_page_forbids_what_is_not_the_consoles_own(path: str) -> None:
    console = Console(events=FakeEvents([event(alert_id="alert-1")]))
    async with console.client() as client:
        answer = await client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert_inert(answer.text)


async def test_what_monitoring_tools_say_is_text_and_nothing_else() -> None:
    names = ("title", "description", "rule", "provider", "account", "event_key", "image_url")
    fields: dict[str, Any] = dict.fromkeys(names, HOSTILE)
    hostile = event(
        **fields,
        event_id="event-1",
        resources=[HOSTILE, "javascript:alert(1)"],
        alert_id="alert-1",
        raw_data={HOSTILE: [HOSTILE, {"x": HOSTILE}]},
        additional_info={HOSTILE: HOSTILE},
    )
    statistics = [
        {"provider": HOSTILE, "count": 3},
        {"resources": HOSTILE, "count": 2},
        {"at": "2026-03-01T11", "severity": HOSTILE, "count": 4},
    ]
    console = Console(events=FakeEvents([hostile], statistics))
    console.webhooks.webhook = busy_webhook()
    console.webhooks.webhook.name = HOSTILE
    async with console.client() as client:
        for path in ("/", f"/?q={quote(HOSTILE)}", "/events/event-1", "/webhooks"):
            answer = await client.get(path)
            assert answer.status_code in (200, 400)
            assert "&lt;script&gt;" in answer.text
            assert "{{7*7}}" in answer.text
            assert_inert(answer.text)
        assert "&lt;b&gt;not JSON" in answer.text


async def test_what_is_chosen_becomes_a_query() -> None:
    console = Console()
    address = '/?q=title~"cpu load" web-1&severity=CRITICAL&severity=ERROR&type=ALERT&webhook=webhook-1&range=1h&page=3'
    async with console.client() as client:
        answer = await client.get(address)
    assert answer.status_code == 200
    [query] = console.events.queries
    assert query["keyword"] == "web-1"
    assert query["filter"] == [
        {"k": "title", "v": "cpu load", "o": "contain"},
        {"k": "severity", "v": ["CRITICAL", "ERROR"], "o": "in"},
        {"k": "event_type", "v": "ALERT", "o": "eq"},
        {"k": "webhook_id", "v": "webhook-1", "o": "eq"},
        {"k": "created_at", "v": "2026-03-01T11:00:00.000Z", "o": "datetime_gte"},
    ]
    assert query["page"] == {"start": 101, "limit": 50}


@pytest.mark.parametrize(
    "address", ["/?severity=LOUD&type=NOISE&page=-1&range=ever", "/?page=999999999999", "/?%ff=%ff"]
)
async def test_what_makes_no_sense_in_an_address_is_left_out(address: str) -> None:
    console = Console()
    async with console.client() as client:
        answer = await client.get(address)
    assert answer.status_code == 200
    assert [one["k"] for one in console.events.queries[0]["filter"]] == ["created_at"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/?q=since>1", "since takes a time"),
        ("/?q=nothing=1", "q"),
        ("/?range=custom&from=yesterday", "2026-01-31T12:00"),
    ],
)
async def test_a_condition_that_cannot_be_answered_is_explained_above_the_list(address: str, said: str) -> None:
    async with Console().client() as client:
        answer = await client.get(address)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert said in answer.text


async def test_figures_lead_to_what_they_count() -> None:
    statistics = [
        {"at": "2026-03-01T11", "severity": "CRITICAL", "count": 30},
        {"at": "2026-03-01T11", "severity": "INFO", "count": 10},
        {"at": "2026-03-01T04", "severity": "INFO", "count": 20},
        {"provider": "google cloud", "count": 60},
        {"webhook_id": "webhook-1", "count": 60},
    ]
    async with Console(events=FakeEvents(statistics=statistics)).client() as client:
        page = (await client.get("/")).text
    assert "at most 40 in one bar" in page
    assert "range=custom&amp;from=2026-03-01T11%3A00%3A00.000Z&amp;to=2026-03-01T12%3A00%3A00.000Z" in page
    assert 'class="bar severity-CRITICAL"' in page
    assert 'height="75.000"' in page  # 30 of 40
    assert "q=provider%3D%22google+cloud%22" in page
    assert "q=webhook%3Dwebhook-1" in page
    assert ">prometheus<" in page


async def test_a_page_does_not_wait_for_figures_and_they_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insight, "SECONDS", 0.01)
    console = Console(events=FakeEvents([event()], [{"provider": "aws", "count": 60}]))
    counted, go_on, real = [], asyncio.Event(), console.events.stat

    async def slow(scope: Scope, query: Mapping[str, Any]) -> Mapping[str, Any]:
        counted.append(query)
        await go_on.wait()
        return await real(scope, query)

    monkeypatch.setattr(console.events, "stat", slow)
    async with console.client() as client:
        for _ in range(2):
            page = (await client.get("/")).text
            assert "still being counted" in page
            assert "disk full" in page
        go_on.set()
        await asyncio.sleep(0.05)
        assert ">aws<" in (await client.get("/")).text
    assert len(counted) == 4  # one for each figure, whoever looks


async def test_figures_that_are_late_come_as_far_as_they_are_known_and_then_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(insight, "SECONDS", 0.05)
    statistics = [{"at": "2026-03-01T11", "severity": "CRITICAL", "count": 30}, {"resources": "web-1", "count": 60}]
    console = Console(events=FakeEvents([event()], statistics))
    go_on, real = asyncio.Event(), console.events.stat

    async def slow_for_resources(scope: Scope, query: Mapping[str, Any]) -> Mapping[str, Any]:
        if "unwind" in query["aggregate"][0]:
            await go_on.wait()
        return await real(scope, query)

    monkeypatch.setattr(console.events, "stat", slow_for_resources)
    async with console.client() as client:
        page = (await client.get("/?range=7d")).text
        assert 'data-address="/figures?range=7d"' in page
        assert 'class="bar severity-CRITICAL"' in page
        assert ">web-1<" not in page
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        answer = await client.get("/figures?range=7d")
        assert ">web-1<" in answer.text
        assert "still being counted" not in answer.text
        assert "<html" not in answer.text
        assert_inert(answer.text)
        assert 'data-address="/figures' not in (await client.get("/?range=7d")).text


async def test_resources_are_counted_of_the_newest_events_only_where_there_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statistics = [
        {"at": "2026-03-01T11", "severity": "CRITICAL", "count": 3000},
        {"at": "2026-03-01T10", "severity": "INFO", "count": 1500},
        {"at": "2026-03-01T09", "severity": "INFO", "count": 9000},
        {"at": "2026-03-01T08", "severity": "INFO", "count": 9000},
        {"resources": "web-1", "count": 60},
    ]
    console = Console(events=FakeEvents([event()], statistics))
    asked, real = [], console.events.stat

    async def noted(scope: Scope, query: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.append(query)
        return await real(scope, query)

    monkeypatch.setattr(console.events, "stat", noted)
    async with console.client() as client:
        page = (await client.get("/")).text
    assert "Resource, newest events" in page
    assert asked[-1]["filter"][-1] == {"k": "created_at", "v": "2026-03-01T09:00:00.000Z", "o": "datetime_gte"}
    assert len(asked[-2]["filter"]) == 1


async def test_an_event_shows_its_raw_data_and_its_alert() -> None:
    console = Console(
        events=FakeEvents([event(alert_id="alert-1"), event("event-2", event_type="RECOVERY", title="over")])
    )
    async with console.client() as client:
        page = (await client.get("/events/event-1")).text
    assert "&#34;a&#34;: 1" in page
    assert console.events.equals == [{"alert_id": "alert-1"}]
    assert 'href="/events/event-2"' in page
    assert 'aria-current="true"' in page


async def test_pages_of_what_is_missing_or_away_say_so() -> None:
    console = Console()
    async with console.client() as client:
        missing = await client.get("/events/event-9")
        console.events.failure = Unavailable("The database is away.")
        away = await client.get("/")
    assert (missing.status_code, away.status_code) == (404, 503)
    assert "The database is away." in away.text


async def test_the_live_view_sends_rows_and_ends_with_the_service() -> None:
    console = Console(events=FakeEvents([event(title=HOSTILE), event("event-2")]))
    answers = iter([True, True, True, True])
    console.is_ready = lambda: next(answers, False)
    async with console.client() as client:
        answer = await client.get("/live?severity=CRITICAL")
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = re.findall(r"^id: (\S+)\nevent: rows\ndata: (.*)$", answer.text, re.MULTILINE)
    [(token, rows)] = told  # once, though the store was asked several times
    assert token == "2026-03-01T12:00:00.000Z"
    [first, second] = json.loads(rows)
    assert_inert(first)
    assert 'id="event-2"' in second
    assert console.events.queries[0]["filter"][0] == {"k": "severity", "v": ["CRITICAL"], "o": "in"}


async def test_no_live_view_of_a_service_that_is_not_ready() -> None:
    async with Console(is_ready=lambda: False).client() as client:
        assert (await client.get("/live")).status_code == 503


@pytest.mark.parametrize("name", ["console.css", "console.js", "icon.svg"])
async def test_the_pages_files(name: str) -> None:
    async with Console().client() as client:
        answer = await client.get(f"/console/{name}")
        missing = await client.get("/console/..%2Frendering.py")
    assert answer.status_code == 200
    assert missing.status_code == 404
