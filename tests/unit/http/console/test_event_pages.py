"""The pages of events."""

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings

from event_service.errors import Unavailable
from event_service.http.console import charts
from event_service.http.console.session import TOKEN_COOKIE
from event_service.model.condition import AlertState
from event_service.model.scope import Scope
from tests.unit.http.console.console import Console, busy_webhook, event
from tests.unit.http.fakes import TOKEN, FakeEvents
from tests.unit.reading_back import is_harmless, read_back, texts

SCRIPTS = ("htmx.min.js", "sse.min.js", "console.js")
HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"'`{{7*7}}"


class Elements(HTMLParser):
    """The elements of a page: names and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


class Contents(HTMLParser):
    """The texts of a page's elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def assert_inert(page: str) -> None:
    """Check that only the console's own scripts run, and that all links and htmx requests are local."""
    for name, attributes in Elements(page).found:
        if name == "script":
            assert attributes in [{"src": f"/console/{script}", "defer": None} for script in SCRIPTS]
        assert name not in ("style", "iframe", "object", "embed", "base")
        assert not [
            one for one in attributes if one.startswith(("on", "hx-on", "hx-vals", "data-hx")) or one == "style"
        ]
        assert (attributes.get("src") or "/").startswith("/console/") or name != "img"
        for link in ("href", "action", "src", "hx-get", "sse-connect"):
            assert (attributes.get(link) or "/").startswith(("/", "#"))


async def test_events_are_listed_with_their_severity() -> None:
    console = Console(events=FakeEvents([event(), event("event-2", severity="", title="", event_key="k")]))
    async with console.client() as client:
        answer = await client.get("/")
    assert answer.status_code == 200
    assert 'id="event-1" class="severity-CRITICAL"' in answer.text
    assert 'id="event-2" class="severity-NONE"' in answer.text
    assert "disk full" in answer.text
    assert "prometheus" in answer.text  # the webhook's name instead of its id
    assert console.events.scopes[0] == Scope("domain-1", "workspace-1")


@pytest.mark.parametrize("path", ["/", "/events/event-1", "/webhooks", "/events/nothing", "/?q=since>1"])
async def test_every_page_forbids_foreign_content(path: str) -> None:
    console = Console(events=FakeEvents([event(alert_id="alert-1")]))
    async with console.client() as client:
        answer = await client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert_inert(answer.text)


async def test_payloads_are_escaped() -> None:
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


@settings(deadline=None, max_examples=10)
@given(text=texts, name=texts)
def test_texts_read_back(text: str, name: str) -> None:
    async def get() -> list[str]:
        shown = event(
            title=text, description=f" {text}", resources=[text], rule=text, raw_data={text: text},
            additional_info={name: text}, alert_id="a",
        )  # fmt: skip
        async with Console(events=FakeEvents([shown])).client() as client:
            return [(await client.get(path)).text for path in ("/", "/events/event-1", f"/?q={quote(text)}")]

    rows, page, found = asyncio.run(get())
    assert is_harmless(rows + page)
    contents = Contents(page)
    for shown in (text, f" {text}", name):
        assert shown in ["\n".join(map(read_back, one.split("\n"))) for one in contents.texts] or not shown
    (raw,) = (one for one in contents.texts if one.startswith("{\n"))
    assert json.loads(raw) == {text: text}
    # The form keeps what was typed.
    values = [attributes["value"] for _, attributes in Elements(found).found if attributes.get("name") == "q"]
    assert values == [text.strip()]


async def test_form_becomes_a_query() -> None:
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
async def test_invalid_url_parameters_are_ignored(address: str) -> None:
    console = Console()
    async with console.client() as client:
        answer = await client.get(address)
    assert answer.status_code == 200
    assert [one["k"] for one in console.events.queries[0]["filter"]] == ["created_at"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/?q=since>1", "since takes a time"),
        ("/?q=" + "a" * 4097, "more than 4096 characters"),
        ("/?q=nothing=1", "q"),
        ("/?range=custom&from=yesterday", "2026-01-31T12:00"),
    ],
)
async def test_invalid_filter_is_explained_above_the_list(address: str, said: str) -> None:
    async with Console().client() as client:
        answer = await client.get(address)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert said in answer.text
    assert "empty" not in answer.text


@pytest.mark.parametrize(
    ("address", "total", "said"),
    [
        ("/", 0, "No events in the last 24 hours"),
        ("/?webhook=webhook-1", 0, "No events"),
        ("/?severity=CRITICAL", 0, "No events match"),
        ("/?page=9", 120, "This list has 3 pages"),
    ],
)
async def test_empty_list_explains_itself(address: str, total: int, said: str) -> None:
    async with Console(events=FakeEvents(rows=[b""] * total)).client() as client:
        page = (await client.get(address)).text
    assert said in page


async def test_charts_link_to_their_events() -> None:
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


@pytest.mark.parametrize(
    "times",
    [
        "range=custom&from=0001-01-01T00:00&to=9999-12-31T23:59",
        "range=custom&from=9999-12-31T23:59",
        "range=custom&from=2026-03-01T11:00&to=2026-02-01T11:00",
        "range=all",
    ],
)
@pytest.mark.parametrize("at", [None, "2026-03-01", "0001-01-01", "9999-12-31"])
async def test_charts_accept_any_time(times: str, at: str | None) -> None:
    """Events stored by upstream may have any time, or none."""
    statistics = [{"at": at, "severity": "CRITICAL", "count": 1}, {"provider": "google", "count": 60}]
    async with Console(events=FakeEvents(statistics=statistics)).client() as client:
        page = await client.get(f"/?{times}")
    assert page.status_code == 200
    assert ">google<" in page.text


async def test_page_does_not_wait_for_charts_which_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "PAGE_WAIT_SECONDS", 0.01)
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
            assert "still loading" in page
            assert "disk full" in page
        go_on.set()
        await asyncio.sleep(0.05)
        assert ">aws<" in (await client.get("/")).text
    assert len(counted) == 4  # one for each chart, however many requests


async def test_late_charts_are_loaded_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(charts, "PAGE_WAIT_SECONDS", 0.05)
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
        assert 'hx-get="/charts?range=7d" hx-trigger="load"' in page
        assert 'class="bar severity-CRITICAL"' in page
        assert ">web-1<" not in page
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        answer = await client.get("/charts?range=7d")
        assert ">web-1<" in answer.text
        assert "still loading" not in answer.text
        assert "<html" not in answer.text
        assert_inert(answer.text)
        assert 'hx-get="/charts' not in (await client.get("/?range=7d")).text


async def test_resources_of_many_events_are_counted_of_the_newest_only(
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


async def test_event_shows_its_raw_data_and_its_alert() -> None:
    console = Console(
        events=FakeEvents([event(alert_id="alert-1"), event("event-2", event_type="RECOVERY", title="over")]),
        alert_states={"alert-1": AlertState.RESOLVED},
    )
    async with console.client() as client:
        page = (await client.get("/events/event-1")).text
        console.alert_states["alert-1"] = AlertState.TRIGGERED
        still_open = (await client.get("/events/event-1")).text
        console.alert_states.clear()
        unknown = (await client.get("/events/event-1")).text
    assert "alert-1 is <strong>resolved</strong>. All its events" in page
    assert "alert-1 is <strong>open</strong>. All its events" in still_open
    assert "alert-1. All its events" in unknown
    assert "&#34;a&#34;: 1" in page
    assert console.events.equals == [{"alert_id": "alert-1"}] * 3
    assert 'href="/events/event-2"' in page
    assert 'aria-current="true"' in page


async def test_error_pages_for_missing_event_and_unavailable_database() -> None:
    console = Console()
    async with console.client() as client:
        missing = await client.get("/events/event-9")
        console.events.failure = Unavailable("The database is away.")
        away = await client.get("/")
    assert (missing.status_code, away.status_code) == (404, 503)
    assert "The database is away." in away.text


def messages(stream: str) -> list[dict[str, str]]:
    """Parse server-sent events as a browser does: id, event and data of each."""
    found = []
    for block in re.split(r"(?:\r\n|\r|\n){2}", stream):
        message: dict[str, str] = {}
        for line in re.split(r"\r\n|\r|\n", block):
            name, _, value = line.partition(": ")
            message[name] = f"{message[name]}\n{value}" if name == "data" and name in message else value
        if "event" in message:
            found.append(message)
    return found


async def test_live_view_streams_rows_until_the_service_stops() -> None:
    smuggled = "\revent: sign-in\ndata: x\r\n\r\n<hx-partial>"
    console = Console(events=FakeEvents([event(title=HOSTILE + smuggled), event("event-2")]))
    answers = iter([True, True, True, True])
    console.is_ready = lambda: next(answers, False)
    async with console.client() as client:
        answer = await client.get("/live?severity=CRITICAL")
    assert answer.headers["content-type"].startswith("text/event-stream")
    sent = [one for one in messages(answer.text) if one["event"] != "quiet"]
    [first, second] = sent  # once each, though the store was queried several times
    assert (first["event"], second["event"]) == ("row", "row")
    assert first["data"].startswith('<tr id="event-1" class="severity-CRITICAL new">')
    assert "&lt;hx-partial&gt;" in first["data"]
    assert_inert(first["data"])
    assert "id" not in first  # a client that disconnects here must still get the second
    assert second["id"] == "2026-03-01T12:00:00.000Z"
    assert 'id="event-2"' in second["data"]
    assert console.events.queries[0]["filter"][0] == {"k": "severity", "v": ["CRITICAL"], "o": "in"}


async def test_live_view_ends_when_the_token_expires() -> None:
    console = Console(auth="jwt", events=FakeEvents([event()]))
    asked = 0

    def still_allowed() -> bool:  # called before each poll
        nonlocal asked
        asked += 1
        console.authenticator.refuses = asked > 3
        return True

    console.is_ready = still_allowed
    async with console.client() as client:
        client.cookies.set(TOKEN_COOKIE, TOKEN)
        answer = await client.get("/live")  # would never end
    assert answer.status_code == 200
    assert asked == 4


async def test_live_view_is_refused_while_not_ready() -> None:
    async with Console(is_ready=lambda: False).client() as client:
        assert (await client.get("/live")).status_code == 503


async def test_live_url_resumes_where_the_page_ends() -> None:
    async with Console(events=FakeEvents([event()])).client() as client:
        off = (await client.get("/?severity=ERROR")).text
        on = (await client.get("/?severity=ERROR&live=on")).text
    button, pressed = (next(one for _, one in Elements(page).found if one.get("id") == "live") for page in (off, on))
    assert (button["aria-pressed"], button["hx-get"]) == ("false", "/?severity=ERROR&live=on")
    assert (pressed["aria-pressed"], pressed["hx-get"]) == ("true", "/?severity=ERROR")
    assert "sse-connect" not in off
    assert 'sse-connect="/live?severity=ERROR&amp;after=2026-03-01T12%3A00%3A00.000Z"' in on


@pytest.mark.parametrize(
    ("shown", "asked", "header", "address"),
    [
        (
            "/",
            "/?q=&range=24h&webhook=&type=&from=&to=&severity=ERROR&page=2",
            "hx-push-url",
            "/?severity=ERROR&page=2",
        ),
        ("/?severity=ERROR", "/?q=&severity=ERROR", "hx-replace-url", "/?severity=ERROR"),
    ],
)
async def test_htmx_shows_a_url_without_empty_fields(shown: str, asked: str, header: str, address: str) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": f"http://127.0.0.1:8080{shown}"}
    async with Console().client() as client:
        answer = await client.get(asked, headers=headers)
        plain = await client.get(asked)
    assert {name: value for name, value in answer.headers.items() if name.startswith("hx-")} == {header: address}
    assert not [name for name in plain.headers if name.startswith("hx-")]
    assert "<html" in answer.text  # htmx selects the results


async def test_htmx_does_not_evaluate_or_cache() -> None:
    async with Console().client() as client:
        page = (await client.get("/")).text
    content = next(one["content"] for _, one in Elements(page).found if one.get("name") == "htmx-config")
    config = json.loads(content or "")
    assert (config["allowEval"], config["allowScriptTags"], config["includeIndicatorStyles"]) == (
        False,
        False,
        False,
    )
    assert (config["selfRequestsOnly"], config["historyCacheSize"]) == (True, 0)


@pytest.mark.parametrize("name", ["console.css", *SCRIPTS, "icon.svg"])
async def test_static_files_are_served_with_tags(name: str) -> None:
    async with Console().client() as client:
        answer = await client.get(f"/console/{name}")
        again = await client.get(f"/console/{name}", headers={"If-None-Match": answer.headers["etag"]})
        missing = await client.get("/console/..%2Frendering.py")
        undisclosed = await client.get("/console/README.md")
    assert answer.status_code == 200
    assert (again.status_code, again.content) == (304, b"")
    assert (missing.status_code, undisclosed.status_code) == (404, 404)


def test_third_party_files_match_their_checksums() -> None:
    assets = files("event_service.http.console") / "assets"
    written = (assets / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\S+)` \|.*\| 0BSD \| `([0-9a-f]{64})` \|$", written, re.MULTILINE)
    assert [name for name, _ in rows] == ["htmx.min.js", "sse.min.js"]
    for name, digest in rows:
        assert hashlib.sha256((assets / name).read_bytes()).hexdigest() == digest
