"""The pages of webhooks, their forms, and sign-in."""

import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from event_service.errors import AlreadyExists
from event_service.http.console.session import TOKEN_COOKIE
from event_service.identity.principal import Role
from event_service.model.webhook import PluginInfo
from tests.unit.http.console.console import Console, busy_webhook, webhook
from tests.unit.http.fakes import ACCESS_KEY, TOKEN, FakeWebhooks


async def form_token(client: httpx.AsyncClient, path: str = "/webhooks") -> str:
    """Return the form token of a page; the client keeps its cookie."""
    answer = await client.get(path)
    found = re.search(r'name="form_token" value="([^"]+)"', answer.text)
    assert found, answer.text
    return found[1]


async def test_webhooks_show_counters_and_last_error() -> None:
    console = Console()
    console.webhooks.webhook = busy_webhook()
    async with console.client() as client:
        page = (await client.get("/webhooks")).text
    assert re.search(r'data-label="deliveries">7<', page)
    assert re.search(r'class="figure bad" data-label="unreadable">2<', page)
    assert "2026-03-01 12:00:00" in page


async def test_webhooks_are_paged_and_searched() -> None:
    console = Console()
    console.webhooks.total = 101
    async with console.client() as client:
        page = (await client.get("/webhooks?find=web%261&page=2")).text
        wrong = await client.get("/webhooks?page=0")
        console.webhooks.total = 0
        nothing = (await client.get("/webhooks?find=x")).text
    assert console.webhooks.queries[0] == {
        "sort": [{"key": "created_at", "desc": True}],
        "page": {"start": 51, "limit": 50},
        "keyword": "web&1",
    }
    assert re.findall(r'rel="(prev|next)" href="([^"]+)"', page) == [
        ("prev", "?find=web%261&amp;page=1"),
        ("next", "?find=web%261&amp;page=3"),
    ]
    assert wrong.status_code == 400
    assert "No webhooks match." in nothing


async def test_new_webhook_shows_its_key_once() -> None:
    console = Console()
    async with console.client() as client:
        fields = {"form_token": await form_token(client), "name": "n", "project_id": "p", "parser": "native"}
        answer = await client.post("/webhooks", data=fields)
        again = await client.get("/webhooks")
    assert answer.status_code == 200
    assert f"http://here/webhook-1/{ACCESS_KEY}" in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert ACCESS_KEY not in again.text
    assert console.webhooks.done == [("create", "n", {"plugin_id": "native"}, "p")]


async def test_refused_form_keeps_its_input() -> None:
    console = Console()
    console.webhooks.failure = AlreadyExists("The name is taken.")
    async with console.client() as client:
        fields = {"form_token": await form_token(client), "name": "my name", "project_id": "p", "parser": "native"}
        answer = await client.post("/webhooks", data=fields)
    assert answer.status_code == 409
    assert "The name is taken." in answer.text
    assert 'value="my name"' in answer.text


@pytest.mark.parametrize(
    ("plugin_id", "shown", "not_shown"),
    [
        ("", "It works", "payload.json"),
        ("auto", "It works", "payload.json"),
        ("native", "It works", "payload.json"),
        ("alertmanager", "parsed as alertmanager", "It works"),
        ("my-plugin", "parsed as my-plugin", "It works"),
    ],
)
async def test_example_matches_the_parser(plugin_id: str, shown: str, not_shown: str) -> None:
    console = Console(webhooks=FakeWebhooks(replace(webhook(), plugin=PluginInfo(plugin_id))))
    async with console.client() as client:
        answer = await client.post("/webhooks/webhook-1/rotate", data={"form_token": await form_token(client)})
    assert shown in answer.text
    assert not_shown not in answer.text


@pytest.mark.parametrize(
    ("action", "fields", "status", "done"),
    [
        ("disable", {}, 303, ("disable", "webhook-1")),
        ("enable", {}, 303, ("enable", "webhook-1")),
        ("delete", {}, 303, ("delete", "webhook-1")),
        ("rotate", {"overlap_hours": "24"}, 200, ("rotate", "webhook-1", 86400.0)),
        ("rotate", {"overlap_hours": "-1"}, 400, None),
        ("explode", {}, 400, None),
    ],
)
async def test_actions_on_webhooks(action: str, fields: dict[str, str], status: int, done: Any) -> None:
    console = Console()
    async with console.client() as client:
        data = {"form_token": await form_token(client), **fields}
        answer = await client.post(f"/webhooks/webhook-1/{action}", data=data)
        looked = await client.get(f"/webhooks/webhook-1/{action}")
    assert answer.status_code == status
    assert console.webhooks.done == ([done] if done else [])
    assert looked.status_code == 405  # a link must not change anything


@pytest.mark.parametrize("wrong", ["nothing", "no cookie", "another token", "another site"])
async def test_cross_site_forms_are_refused(wrong: str) -> None:
    console = Console()
    async with console.client() as client:
        data, headers = {"form_token": await form_token(client)}, {}
        if wrong == "nothing":
            data = {}
        elif wrong == "no cookie":
            client.cookies.clear()
        elif wrong == "another token":
            data = {"form_token": "x" * 43}
        else:
            headers = {"Sec-Fetch-Site": "cross-site"}
        answer = await client.post("/webhooks/webhook-1/delete", data=data, headers=headers)
    assert answer.status_code == 403
    assert console.webhooks.done == []


async def test_readers_see_no_actions() -> None:
    console = Console(role=Role.DOMAIN_ADMIN)
    async with console.client() as client:
        page = (await client.get("/webhooks")).text
    assert "prometheus" in page
    assert "/delete" not in page
    assert "New webhook" not in page


async def test_pages_without_token_redirect_to_sign_in() -> None:
    async with Console(auth="jwt").client() as client:
        for path in ("/", "/webhooks", "/alerts/alert-1", "/events", "/events/event-1", "/events/live"):
            answer = await client.get(path)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/sign-in?next=%2F")


@pytest.mark.parametrize("path", ["/alerts/charts", "/alerts/live", "/events/charts", "/events/live"])
async def test_partial_requests_redirect_the_whole_page_to_sign_in(path: str) -> None:
    async with Console(auth="jwt").client() as client:
        answer = await client.get(f"{path}?range=7d", headers={"HX-Request": "true"})
        stream = await client.get(f"{path}?range=7d", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.text) == (401, "")
    page = "/events" if path.startswith("/events") else "/"
    assert answer.headers["hx-redirect"] == f"/sign-in?next={quote(page, safe='')}%3Frange%3D7d"
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.text == "event: sign-in\ndata: \n\n"


async def test_token_too_big_for_a_cookie_is_refused() -> None:
    console = Console(auth="jwt")
    console.authenticator.needs_token = False
    async with console.client() as client:
        form = await form_token(client, "/sign-in")
        for size, status in ((4096 - len(TOKEN_COOKIE), 303), (4097 - len(TOKEN_COOKIE), 400)):
            answer = await client.post("/sign-in", data={"form_token": form, "token": "t" * size})
            assert answer.status_code == status
    assert "browsers keep cookies of at most" in answer.text
    assert "set-cookie" not in answer.headers


async def test_sign_in_and_sign_out() -> None:
    async with Console(auth="jwt").client() as client:
        token = await form_token(client, "/sign-in?next=/webhooks")
        wrong = await client.post("/sign-in", data={"form_token": token, "token": "wrong"})
        assert wrong.status_code == 401
        assert "wrong" not in wrong.text.replace("went wrong", "")
        right = await client.post("/sign-in", data={"form_token": token, "token": TOKEN, "next": "/webhooks"})
        assert (right.status_code, right.headers["location"]) == (303, "/webhooks")
        cookie = next(one for one in right.headers.get_list("set-cookie") if one.startswith("event_service_token="))
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        page = await client.get("/webhooks")
        assert page.status_code == 200
        assert TOKEN not in page.text
        out = await client.post("/sign-out", data={"form_token": token})
        assert out.headers["location"] == "/sign-in"
        assert (await client.get("/webhooks")).status_code == 303


@pytest.mark.parametrize("there", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb", ""])
async def test_sign_in_redirects_to_local_paths_only(there: str) -> None:
    async with Console(auth="jwt").client() as client:
        token = await form_token(client, "/sign-in")
        answer = await client.post("/sign-in", data={"form_token": token, "token": TOKEN, "next": there})
    assert answer.headers["location"] == "/"


async def test_foreign_host_header_is_refused() -> None:
    async with Console().client("http://rebound.example:8080") as client:
        assert (await client.get("/")).status_code == 403
    async with Console().client("http://localhost:8080") as client:
        assert (await client.get("/")).status_code == 200
