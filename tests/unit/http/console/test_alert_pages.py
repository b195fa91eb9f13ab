"""The pages of alerts."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from event_service.errors import InvalidArgument, Unavailable
from event_service.http.console import alert_pages
from event_service.identity.principal import Role
from event_service.model.scope import Scope
from tests.unit.http.console.console import Console, FakeAlerts, alert, event
from tests.unit.http.console.markup import HOSTILE, Elements, assert_inert, messages
from tests.unit.http.fakes import FakeEvents

OPEN = ["TRIGGERED", "ACKNOWLEDGED", "ERROR"]


async def form_token(client: httpx.AsyncClient, path: str = "/") -> str:
    """Return the token of the page's forms."""
    page = (await client.get(path)).text
    return next(one["value"] for _, one in Elements(page).found if one.get("name") == "form_token") or ""


async def test_console_opens_on_open_alerts() -> None:
    statistics = [{"severity": "CRITICAL", "count": 2}, {"severity": "INFO", "count": 5}]
    console = Console(alerts=FakeAlerts([alert(assignee="ann"), alert("alert-2", state="ACKNOWLEDGED")], statistics))
    async with console.client() as client:
        page = (await client.get("/")).text
    assert '<a href="/alerts/alert-1">disk full</a>' in page
    assert 'title="2026-03-01 11:55:00 UTC">5 min</time>' in page
    assert '<td class="assignee">ann</td>' in page
    assert '<td class="webhook">prometheus</td>' in page
    assert 'data-label="events">3</td>' in page
    assert '<span class="type alert-ACKNOWLEDGED">acknowledged</span>' in page
    assert '<span id="total">7</span> open alerts' in page
    assert '<a href="/?severity=INFO"><span class="value">info</span>' in page
    assert console.alerts.scopes == [Scope("domain-1", "workspace-1")]
    assert console.alerts.queries[0]["filter"] == [{"k": "state", "v": OPEN, "o": "in"}]


async def test_form_becomes_a_query() -> None:
    console = Console(
        alerts=FakeAlerts(statistics=[{"severity": "ERROR", "count": 2}, {"severity": "INFO", "count": 5}])
    )
    async with console.client() as client:
        page = (
            await client.get("/?q=resource=web-1 full&severity=ERROR&state=RESOLVED&webhook=w&range=1h&page=3")
        ).text
    [query] = console.alerts.queries
    assert query["keyword"] == "full"
    assert query["filter"] == [
        {"k": "resources.name", "v": "web-1", "o": "eq"},
        {"k": "severity", "v": ["ERROR"], "o": "in"},
        {"k": "state", "v": ["RESOLVED"], "o": "in"},
        {"k": "webhook_id", "v": "w", "o": "eq"},
        {"k": "created_at", "v": "2026-03-01T11:00:00.000Z", "o": "datetime_gte"},
    ]
    assert query["page"] == {"start": 101, "limit": 51}
    assert '<span id="total">2</span> resolved alerts' in page


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/", 200, "No open alerts."),
        ("/?severity=INFO", 200, "No alerts match."),
        ("/?page=9", 200, "This page is empty."),
        ("/?q=state=odd", 400, "state has no value"),
    ],
)
async def test_empty_list_explains_itself(address: str, status: int, said: str) -> None:
    async with Console().client() as client:
        answer = await client.get(address)
    assert answer.status_code == status
    assert said in answer.text


async def test_pages_follow_while_rows_do() -> None:
    async with Console(alerts=FakeAlerts([alert(f"alert-{number}") for number in range(51)])).client() as client:
        first, last = (await client.get("/")).text, (await client.get("/?page=2")).text
    assert first.count('name="alert"') == 50
    assert 'rel="next" href="/?page=2"' in first
    assert last.count('name="alert"') == 1
    assert 'rel="next"' not in last


async def test_page_does_not_wait_for_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_pages, "COUNT_WAIT_SECONDS", 0.01)
    console = Console(alerts=FakeAlerts([alert()], [{"severity": "CRITICAL", "count": 60}]))
    go_on, real = asyncio.Event(), console.alerts.stat

    async def slow(scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
        await go_on.wait()
        return await real(scope, query)

    monkeypatch.setattr(console.alerts, "stat", slow)
    async with console.client() as client:
        page = (await client.get("/?range=7d")).text
        assert "disk full" in page
        assert 'hx-get="/alerts/charts?range=7d" hx-trigger="load"' in page
        go_on.set()
        late = (await client.get("/alerts/charts?range=7d")).text
        assert "still loading" not in late
        go_on.clear()
        again = (await client.get("/?range=7d")).text
    assert '<span class="count">60</span>' in late
    assert '<span class="count">60</span>' in again  # without a new count


async def test_alert_shows_its_history_events_and_links() -> None:
    shown = alert(
        state="RESOLVED",
        description="See https://example.org/a?b=1&c=2, or javascript:alert(1).",
        acknowledged_at=alert()["created_at"],
        resolved_at=alert()["updated_at"],
        responder="ann",
        image_url="https://example.org/graph.png",
        additional_info={"runbook_url": "http://runbook.example", "generator_url": "ftp://x", "a": {"b": "https://c/"}},
    )
    console = Console(
        events=FakeEvents([event("event-2", title="still full"), event()]),
        alerts=FakeAlerts([shown], resolved_by="MANUAL"),
    )
    async with console.client() as client:
        page = (await client.get("/alerts/alert-1")).text
    links = {one["href"] for name, one in Elements(page).found if name == "a" and "rel" in one}
    assert links == {
        "https://example.org/a?b=1&c=2", "https://example.org/graph.png", "http://runbook.example", "https://c/",
    }  # fmt: skip
    assert_inert(page)
    assert "<strong>opened</strong> by prometheus" in page
    assert "<strong>resolved</strong> by ann" in page
    assert page.index('href="/events/event-2"') < page.index('href="/events/event-1"')
    assert "&#34;a&#34;: 1" in page
    assert console.events.equals == [{"alert_id": "alert-1"}]


@pytest.mark.parametrize(
    ("state", "actions"),
    [
        ("TRIGGERED", ["acknowledge", "resolve"]),
        ("ERROR", ["acknowledge", "resolve"]),
        ("ACKNOWLEDGED", ["resolve", "reopen"]),
        ("RESOLVED", ["reopen"]),
    ],
)
async def test_actions_suit_the_state(state: str, actions: list[str]) -> None:
    async with Console(alerts=FakeAlerts([alert(state=state)])).client() as client:
        page = (await client.get("/alerts/alert-1")).text
    assert [one["value"] for _, one in Elements(page).found if one.get("name") == "action"] == actions


async def test_action_changes_an_alert() -> None:
    console = Console(alerts=FakeAlerts([alert()]))
    async with console.client() as client:
        fields = {"form_token": await form_token(client), "action": "resolve", "seen": "TRIGGERED"}
        answer = await client.post("/alerts/alert-1", data=fields)
        odd = await client.post("/alerts/alert-1", data={**fields, "action": "explode"})
        missing = await client.post("/alerts/alert-9", data=fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts/alert-1")
    assert console.alerts.updates == [("", "alert-1", "RESOLVED")]
    assert (odd.status_code, missing.status_code) == (409, 404)


async def test_alert_that_has_changed_meanwhile_is_not_changed() -> None:
    console = Console(alerts=FakeAlerts([alert(state="ACKNOWLEDGED", responder="ann")]))
    async with console.client() as client:
        fields = {"form_token": await form_token(client), "seen": "TRIGGERED"}
        refused = await client.post("/alerts/alert-1", data={**fields, "action": "resolve"})
        done = await client.post("/alerts/alert-1", data={**fields, "action": "acknowledge"})
    assert refused.status_code == 409
    assert "was changed to ACKNOWLEDGED by ann meanwhile" in refused.text
    assert done.status_code == 303
    assert console.alerts.updates == []


async def test_selection_is_resolved_and_failures_are_named() -> None:
    failure = InvalidArgument.at("state", "cannot be RESOLVED")
    alerts = FakeAlerts([alert(), alert("alert-2"), alert("alert-3", state="ERROR")], failures={"alert-2": failure})
    async with Console(alerts=alerts).client() as client:
        fields: dict[str, Any] = {"form_token": await form_token(client), "action": "resolve"}
        chosen = ["alert-1 TRIGGERED", "alert-2 TRIGGERED", "alert-3 TRIGGERED", "alert-4 TRIGGERED"]
        some = await client.post("/alerts?severity=ERROR", data={**fields, "alert": chosen})
        none = await client.post("/alerts", data=fields)
        all_ = await client.post("/alerts?severity=ERROR&page=2&live=on", data={**fields, "alert": chosen[:1]})
        alerts.failures["alert-1"] = Unavailable("The database is away.")
        away = await client.post("/alerts", data={**fields, "alert": chosen[:1]})
    assert alerts.updates == [("", "alert-1", "RESOLVED")] * 2
    assert some.status_code == 409
    assert '<a href="/alerts/alert-2">alert-2</a>: state cannot be RESOLVED' in some.text
    assert '<a href="/alerts/alert-3">alert-3</a>: state was changed to ERROR meanwhile' in some.text
    assert '<a href="/alerts/alert-4">alert-4</a>' in some.text
    assert ">alert-1</a>:" not in some.text
    assert "No alerts are selected." in none.text
    assert (all_.status_code, all_.headers["location"]) == (303, "/?severity=ERROR&page=2&live=on")
    assert away.status_code == 503


async def test_forms_of_other_sites_change_nothing() -> None:
    console = Console(alerts=FakeAlerts([alert()]))
    async with console.client() as client:
        token = await form_token(client)
        for headers, given in (({"Sec-Fetch-Site": "cross-site"}, token), ({}, "x" * 43)):
            fields = {"form_token": given, "action": "resolve", "seen": "TRIGGERED", "alert": "alert-1 TRIGGERED"}
            for path in ("/alerts", "/alerts/alert-1"):
                assert (await client.post(path, data=fields, headers=headers)).status_code == 403
    assert console.alerts.updates == []


async def test_reader_without_the_right_to_write_sees_no_actions() -> None:
    console = Console(role=Role.DOMAIN_ADMIN, alerts=FakeAlerts([alert()]))
    async with console.client() as client:
        pages = (await client.get("/")).text + (await client.get("/alerts/alert-1")).text
    assert 'name="action"' not in pages
    assert 'type="checkbox" id="pick' not in pages


async def test_texts_are_escaped() -> None:
    texts = dict.fromkeys(("title", "description", "rule", "assignee", "responder", "image_url", "alert_id"), HOSTILE)
    shown = alert(**texts, resources=[{"name": HOSTILE}], additional_info={HOSTILE: HOSTILE})
    async with Console(alerts=FakeAlerts([shown], [{"assignee": HOSTILE, "count": 1}])).client() as client:
        page = (await client.get("/")).text
    assert "&lt;script&gt;" in page
    assert_inert(page)
    async with Console(alerts=FakeAlerts([{**shown, "alert_id": "alert-1"}])).client() as client:
        assert_inert((await client.get("/alerts/alert-1")).text)


async def test_live_view_tells_the_page_to_refresh() -> None:
    console = Console(alerts=FakeAlerts([alert()]))
    answers = iter([True, True])
    console.is_ready = lambda: next(answers, False)
    async with console.client() as client:
        answer = await client.get("/alerts/live?webhook=w&severity=INFO&after=2026-03-01T11:59:00.000Z")
        page = (await client.get("/?webhook=w&live=on")).text
    assert [one["event"] for one in messages(answer.text)] == ["changed"]
    # An alert that leaves the list has to refresh it too.
    assert {one["k"] for one in console.alerts.queries[0]["filter"]} == {"webhook_id", "updated_at"}
    assert 'sse-connect="/alerts/live?webhook=w&amp;after=2026-03-01T12%3A00%3A00.000Z"' in page
    assert 'hx-get="/?webhook=w&amp;live=on" hx-trigger="sse:changed"' in page
