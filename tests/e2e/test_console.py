"""The console in a real browser, with mouse and keyboard, on a phone, and in dark mode."""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from event_service.identity.issuing import generate_key, issue_token, write_key_pair
from event_service.identity.principal import Role
from tests.e2e.browser import browser_errors, find, open_browser
from tests.e2e.service import Service

pytestmark = [
    pytest.mark.skipif(find() is None, reason="no chromium with its driver"),
    pytest.mark.xdist_group("browser"),
]

# A service whose pages never wait for charts.
WITHOUT_WAIT = (
    "from event_service import cli; from event_service.http.console import charts; "
    "charts.PAGE_WAIT_SECONDS = 0; cli.main()"
)

HOSTILE = '</td><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">'


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with open_browser(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture
def page(browser: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """Yield the browser; fail if it reported errors."""
    yield browser
    assert browser_errors(browser) == []


def send(service: Service, webhook: tuple[str, str], **event: Any) -> None:
    url = f"http://{service.http_address}/monitoring/v1/webhook/{webhook[0]}/{webhook[1]}/events"
    httpx.post(url, json=event).raise_for_status()


def visit(page: webdriver.Chrome, service: Service, path: str) -> None:
    page.get(f"http://{service.http_address}{path}")


def all_of(page: webdriver.Chrome, selector: str) -> list[WebElement]:
    return page.find_elements(By.CSS_SELECTOR, selector)


def one(page: webdriver.Chrome, selector: str) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, selector)


def soon(page: webdriver.Chrome, condition: Callable[[webdriver.Chrome], Any]) -> None:
    """Wait until the condition is true; elements that scripts replace are looked up again."""
    WebDriverWait(page, 30, 0.05, [StaleElementReferenceException]).until(condition)


def refuse_once(service: Service) -> None:
    """Answer one request with 503 in place of the service: a browser then stops reconnecting the stream."""

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            pass

    host, port = service.http_address.rsplit(":", 1)
    with HTTPServer((host, int(port)), Refusal) as proxy:
        proxy.timeout = 30
        proxy.handle_request()


def mark(page: webdriver.Chrome) -> None:
    """Mark the page, to detect a page load later."""
    page.execute_script("window.marked = true")


def is_marked(page: webdriver.Chrome) -> bool:
    """Return True if the page was not loaded again since `mark`."""
    return page.execute_script("return window.marked === true")


def focused(page: webdriver.Chrome) -> str | None:
    """Return the id or name of the focused element."""
    return page.execute_script("return document.activeElement.id || document.activeElement.name")


def titles(page: webdriver.Chrome) -> list[str]:
    return [cell.text for cell in all_of(page, "#rows td.title a")]


def test_list_links_to_an_event_and_its_alert(
    page: webdriver.Chrome, service: Service, webhook: tuple[str, str]
) -> None:
    send(service, webhook, event_key="k", title="disk full", severity="CRITICAL", resources=["web-1"])
    send(service, webhook, event_key="k", title="disk free", event_type="RECOVERY", severity="INFO")
    visit(page, service, f"/events?webhook={webhook[0]}")
    assert titles(page) == ["disk free", "disk full"]
    assert one(page, "#total").text == "2"
    assert [row.get_attribute("class") for row in all_of(page, "#rows tr")] == ["severity-INFO", "severity-CRITICAL"]
    soon(
        page, lambda _: all_of(page, ".histogram .bar.severity-CRITICAL") or page.refresh()
    )  # charts may be late on a busy machine
    one(page, "#rows tr:last-child td.title a").click()
    assert one(page, "h1").text == "disk full"
    assert '"severity": "CRITICAL"' in one(page, "pre").text
    assert [link.text for link in all_of(page, ".timeline a")] == ["disk full", "disk free"]
    assert " is resolved. All its events" in one(page, "article").text


def test_search_by_mouse_and_keyboard(page: webdriver.Chrome, service: Service, webhook: tuple[str, str]) -> None:
    for severity in ("CRITICAL", "WARNING", "INFO"):
        send(service, webhook, event_key=severity, title=f"it is {severity.lower()}", severity=severity)
    visit(page, service, f"/events?webhook={webhook[0]}")
    one(page, ".chip.severity-WARNING").click()
    soon(page, lambda _: titles(page) == ["it is warning"])
    assert "severity=WARNING" in page.current_url
    visit(page, service, f"/events?webhook={webhook[0]}")
    one(page, "body").send_keys("/")
    assert page.switch_to.active_element.get_attribute("name") == "q"
    page.switch_to.active_element.send_keys("title~critical", Keys.ENTER)
    soon(page, lambda _: titles(page) == ["it is critical"])
    visit(page, service, "/")
    one(page, "body").send_keys(Keys.TAB)
    assert page.switch_to.active_element.text == "Skip to content"


def test_filters_update_the_list_without_page_load(
    page: webdriver.Chrome, service: Service, webhook: tuple[str, str]
) -> None:
    for number in range(51):
        severity = "INFO" if number % 2 else "ERROR"
        send(service, webhook, event_key=str(number), title=f"event {number}", severity=severity)
    address = f"http://{service.http_address}/events?webhook={webhook[0]}"
    page.get(address)
    mark(page)
    one(page, ".chip.severity-INFO input").send_keys(Keys.SPACE)
    soon(page, lambda _: one(page, "#total").text == "25")
    chosen = address.replace("?", "?severity=INFO&")
    assert page.current_url == chosen
    assert focused(page) == "severity"
    one(page, ".chip.severity-INFO").click()
    soon(page, lambda _: one(page, "#total").text == "51")
    one(page, "#older").click()
    soon(page, lambda _: titles(page) == ["event 0"])
    assert page.current_url == f"{address}&page=2"
    assert not all_of(page, "#older")
    assert one(page, "#state").get_attribute("textContent") == "51 events"
    one(page, 'input[name="q"]').send_keys("since>", Keys.ENTER)
    soon(page, lambda _: "since takes a time" in one(page, ".problem").text)
    assert is_marked(page)
    browser_errors(page)  # the 400 of the search is expected
    for shown, total in ((f"{address}&page=2", "51"), (address, "51"), (chosen, "25")):
        page.back()
        soon(page, lambda _, shown=shown: page.current_url == shown)
        soon(page, lambda _, total=total: one(page, "#total").text == total)
    assert one(page, ".chip.severity-INFO input").is_selected()
    assert one(page, 'input[name="q"]').get_property("value") == ""
    assert page.execute_script("return localStorage.length") == 0


def test_custom_time_range(page: webdriver.Chrome, service: Service, webhook: tuple[str, str]) -> None:
    send(service, webhook, event_key="k", title="just now", severity="INFO")
    visit(page, service, f"/events?webhook={webhook[0]}")
    mark(page)
    assert not one(page, 'input[name="from"]').is_displayed()
    Select(one(page, 'select[name="range"]')).select_by_value("custom")
    assert focused(page) == "from"
    assert titles(page) == ["just now"]
    page.switch_to.active_element.send_keys("2001-01-01", Keys.TAB, "2001-02-01", Keys.ENTER)
    soon(page, lambda _: titles(page) == [])
    assert "from=2001-01-01&to=2001-02-01" in page.current_url
    Select(one(page, 'select[name="range"]')).select_by_value("1h")
    soon(page, lambda _: titles(page) == ["just now"])
    assert "range=1h" in page.current_url
    assert "from" not in page.current_url
    assert is_marked(page)


def test_live_view_resumes_after_a_restart(page: webdriver.Chrome, service: Service, webhook: tuple[str, str]) -> None:
    visit(page, service, f"/events?webhook={webhook[0]}&live=on")
    send(service, webhook, event_key="1", title="before", severity="INFO")
    soon(page, lambda _: titles(page) == ["before"])
    mark(page)
    service.stop()
    soon(page, lambda _: "waiting" in (one(page, "#live").get_attribute("class") or ""))
    refuse_once(service)
    service.start()
    send(service, webhook, event_key="2", title="after", severity="INFO")
    soon(page, lambda _: titles(page) == ["after", "before"])
    soon(page, lambda _: "waiting" not in (one(page, "#live").get_attribute("class") or ""))
    assert is_marked(page)
    service.stop()
    one(page, ".chip.severity-INFO").click()
    soon(page, lambda _: not all_of(page, "#results"))  # the browser's own error page
    service.start()
    page.refresh()
    soon(page, lambda _: titles(page) == ["after", "before"])
    assert "severity=INFO" in page.current_url
    assert not [one for one in browser_errors(page) if "Security Policy" in one]  # refused connections are expected


def test_scripts_in_payloads_do_not_run(page: webdriver.Chrome, service: Service, webhook: tuple[str, str]) -> None:
    visit(page, service, f"/events?webhook={webhook[0]}")
    one(page, "#live").click()
    send(service, webhook, event_key=HOSTILE, title=HOSTILE, severity="ERROR", resources=[HOSTILE], provider=HOSTILE)
    soon(page, lambda _: len(all_of(page, "#rows tr")) == 1)
    assert page.execute_script("return window.hacked") is None
    page.refresh()
    assert titles(page) == [HOSTILE]
    one(page, "#rows td.title a").click()
    assert one(page, "h1").text == HOSTILE
    assert page.execute_script("return window.hacked") is None


def test_live_view_adds_new_events(page: webdriver.Chrome, service: Service, webhook: tuple[str, str]) -> None:
    visit(page, service, f"/events?webhook={webhook[0]}")
    assert one(page, "#empty").text.startswith("No events")
    mark(page)
    one(page, "#live").click()
    soon(page, lambda _: one(page, "#live").get_attribute("aria-pressed") == "true")
    for number in range(3):
        send(service, webhook, event_key=str(number), title=f"event {number}", severity="WARNING")
    soon(page, lambda _: titles(page) == ["event 2", "event 1", "event 0"])
    assert one(page, "#total").text == "3"
    assert not one(page, "#empty").is_displayed()
    assert one(page, "#state").get_attribute("textContent") == "3 new"
    one(page, ".chip.severity-WARNING").click()
    soon(page, lambda _: "severity=WARNING&" in page.current_url)
    send(service, webhook, event_key="4", title="event 4", severity="WARNING")
    soon(page, lambda _: titles(page) == ["event 4", "event 2", "event 1", "event 0"])  # without duplicates
    one(page, "#live").click()
    soon(page, lambda _: one(page, "#live").get_attribute("aria-pressed") == "false")
    assert "live" not in page.current_url
    assert is_marked(page)
    assert focused(page) == "live"


def test_webhook_lifecycle(page: webdriver.Chrome, service: Service) -> None:
    visit(page, service, "/webhooks")
    one(page, 'input[name="name"]').send_keys("made in a browser", Keys.ENTER)
    soon(page, lambda _: all_of(page, "#webhook-url"))
    url, key = one(page, "#webhook-url").text, one(page, "#access-key").text
    webhook_id = url.split("/")[-3]
    assert httpx.post(url, json={"event_key": "k", "title": "t"}).status_code == 200
    assert httpx.post(url, content=b"{not json").status_code == 200

    def row() -> WebElement:
        return one(page, f"#{webhook_id}")

    one(page, "a.primary").click()
    soon(page, lambda _: all_of(page, f"#{webhook_id}"))
    # Counters are written once a second.
    soon(page, lambda _: all_of(page, f"#{webhook_id} + .last-error") or page.refresh())
    assert [cell.text for cell in row().find_elements(By.CSS_SELECTOR, ".figure")] == ["2", "1"]
    assert "not JSON" in one(page, f"#{webhook_id} + .last-error").text
    row().find_element(By.XPATH, ".//button[text()='Disable']").click()
    soon(page, lambda _: "disabled" in row().text)
    row().find_element(By.XPATH, ".//button[text()='Enable']").click()
    soon(page, lambda _: "enabled" in row().text)
    row().find_element(By.XPATH, ".//summary[text()='New key']").click()
    row().find_element(By.XPATH, ".//button[text()='Create new key']").click()
    soon(page, lambda _: all_of(page, "#access-key"))
    assert one(page, "#access-key").text != key
    one(page, "a.primary").click()
    soon(page, lambda _: all_of(page, f"#{webhook_id}"))
    row().find_element(By.XPATH, ".//summary[text()='Delete']").click()
    row().find_element(By.XPATH, ".//button[starts-with(text(), 'Delete ')]").click()
    soon(page, lambda _: not all_of(page, f"#{webhook_id}") and all_of(page, "h1"))


def prometheus_alert(instance: str, **times: datetime) -> dict[str, Any]:
    """Return one member of Alertmanager's `alerts`; firing unless it has endsAt."""
    written = {name: at.isoformat() for name, at in times.items()}
    return {
        "status": "resolved" if "endsAt" in times else "firing",
        "labels": {"alertname": "DiskFull", "severity": "page", "instance": instance},
        "annotations": {"summary": f"Disk of {instance} is full", "runbook_url": "https://runbooks.example/disk"},
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": f"f-{instance}",
        "endsAt": "0001-01-01T00:00:00Z",
        **written,
    }


def send_group(service: Service, webhook: tuple[str, str], *alerts: dict[str, Any]) -> None:
    """Deliver alerts as Alertmanager does."""
    send(service, webhook, version="4", groupKey="{}", status="firing", receiver="event-service", alerts=alerts)


def open_alerts(page: webdriver.Chrome) -> list[str]:
    return [cell.text for cell in all_of(page, "#list td.title a")]


def press(page: webdriver.Chrome, action: str) -> None:
    """Press the button of an action, and wait for the next page."""
    before = one(page, "html")
    one(page, f'button[value="{action}"]').click()
    WebDriverWait(page, 30, 0.05).until(staleness_of(before))


def test_alerts_of_alertmanager_are_acknowledged_and_resolved(page: webdriver.Chrome, service: Service) -> None:
    webhook = service.create_webhook("alertmanager", "alertmanager")
    began = datetime.now(UTC)
    send_group(service, webhook, prometheus_alert("web-1", startsAt=began), prometheus_alert("web-2", startsAt=began))
    visit(page, service, f"/?webhook={webhook[0]}")
    assert sorted(open_alerts(page)) == ["Disk of web-1 is full", "Disk of web-2 is full"]

    page.find_element(By.LINK_TEXT, "Disk of web-1 is full").click()
    soon(page, lambda _: all_of(page, ".history"))
    assert sorted(link.get_attribute("href") for link in all_of(page, ".links a")) == [
        "http://prometheus.example/graph", "https://runbooks.example/disk",
    ]  # fmt: skip
    press(page, "acknowledge")
    assert one(page, "#state").text == "acknowledged"
    assert "acknowledged by anonymous" in one(page, ".history").text
    send_group(service, webhook, prometheus_alert("web-1", startsAt=began, endsAt=datetime.now(UTC)))
    page.refresh()
    assert one(page, "#state").text == "resolved"
    assert "resolved by a recovery" in one(page, ".history").text
    assert len(all_of(page, "article .timeline:not(.history) li")) == 2

    visit(page, service, f"/?webhook={webhook[0]}")
    assert open_alerts(page) == ["Disk of web-2 is full"]
    first = one(page, "#list td.title a").get_attribute("href")
    one(page, 'input[name="alert"]').click()
    press(page, "resolve")
    assert open_alerts(page) == []
    send_group(service, webhook, prometheus_alert("web-2", startsAt=began))  # the same firing again
    page.refresh()
    assert open_alerts(page) == []
    send_group(service, webhook, prometheus_alert("web-2", startsAt=datetime.now(UTC)))
    page.refresh()
    assert open_alerts(page) == ["Disk of web-2 is full"]
    assert one(page, "#list td.title a").get_attribute("href") != first
    assert first is not None
    page.get(first)
    assert "resolved by anonymous" in one(page, ".history").text


def test_alert_changed_by_another_person_is_not_changed(
    page: webdriver.Chrome, service: Service, webhook: tuple[str, str]
) -> None:
    for key in ("a", "b", "c"):
        send(service, webhook, event_key=key, title=f"alert {key}", severity="ERROR")
    listed = service.call("Alert", "list", {"webhook_id": webhook[0]})["results"]
    rows = {row["title"]: row["alert_id"] for row in listed}
    visit(page, service, f"/?webhook={webhook[0]}")
    one(page, "#all").send_keys(Keys.SPACE)
    all_of(page, 'input[name="alert"]')[0].send_keys(Keys.SPACE)  # the newest one, c, stays
    service.call("Alert", "update", {"alert_id": rows["alert b"], "state": "ACKNOWLEDGED"})
    press(page, "resolve")
    assert f"{rows['alert b']}: state was changed to ACKNOWLEDGED by anonymous meanwhile" in one(page, ".problem").text
    assert open_alerts(page) == ["alert c", "alert b"]
    page.find_element(By.LINK_TEXT, "alert c").click()
    soon(page, lambda _: all_of(page, ".history"))
    service.call("Alert", "update", {"alert_id": rows["alert c"], "state": "ACKNOWLEDGED"})
    press(page, "resolve")
    assert "was changed to ACKNOWLEDGED by anonymous meanwhile" in one(page, ".problem").text
    press(page, "resolve")
    assert one(page, "#state").text == "resolved"
    browser_errors(page)  # the two 409 are expected


def test_live_list_of_alerts_keeps_the_selection(
    page: webdriver.Chrome, service: Service, webhook: tuple[str, str]
) -> None:
    visit(page, service, f"/?webhook={webhook[0]}")
    assert "No alerts match" in one(page, "#empty").text
    mark(page)
    one(page, "#live").click()
    soon(page, lambda _: one(page, "#live").get_attribute("aria-pressed") == "true")
    send(service, webhook, event_key="a", title="alert a", severity="WARNING")
    soon(page, lambda _: open_alerts(page) == ["alert a"])
    one(page, 'input[name="alert"]').send_keys(Keys.SPACE)
    send(service, webhook, event_key="b", title="alert b", severity="CRITICAL")
    soon(page, lambda _: open_alerts(page) == ["alert b", "alert a"])
    assert [pick.is_selected() for pick in all_of(page, 'input[name="alert"]')] == [False, True]
    soon(page, lambda _: all_of(page, "#charts .breakdown .severity-CRITICAL"))
    send(service, webhook, event_key="b", title="over", event_type="RECOVERY")
    soon(page, lambda _: open_alerts(page) == ["alert a"])
    assert one(page, "#total").text == "1"
    assert is_marked(page)
    assert "live=on" in page.current_url


def test_alerts_are_searched_without_page_load(
    page: webdriver.Chrome, service: Service, webhook: tuple[str, str]
) -> None:
    send(service, webhook, event_key="a", title="disk full", severity="WARNING", resources=["web-1"])
    send(service, webhook, event_key="b", title=HOSTILE, severity="CRITICAL", resources=[HOSTILE])
    visit(page, service, f"/?webhook={webhook[0]}")
    assert open_alerts(page) == [HOSTILE, "disk full"]
    assert page.execute_script("return window.hacked") is None
    mark(page)
    one(page, ".chip.severity-WARNING input").send_keys(Keys.SPACE)
    soon(page, lambda _: open_alerts(page) == ["disk full"])
    one(page, 'input[name="q"]').send_keys("resource=web-2", Keys.ENTER)
    soon(page, lambda _: all_of(page, "#empty"))
    one(page, "#reset a").click()
    soon(page, lambda _: not is_marked(page) and all_of(page, "#list"))
    Select(one(page, 'select[name="state"]')).select_by_value("RESOLVED")
    soon(page, lambda _: "state=RESOLVED" in page.current_url)


def test_phone_in_dark_mode_without_scripts(service: Service, webhook: tuple[str, str], tmp_path: Path) -> None:
    send(service, webhook, event_key="k", title="a long title " * 20, severity="ERROR", resources=["r" * 200])
    with open_browser(tmp_path, width=360, height=740, dark=True, scripts=False) as phone:
        (alert,) = service.call("Alert", "list", {"webhook_id": webhook[0]})["results"]
        alert_path = f"/alerts/{alert['alert_id']}"
        for path in (f"/?webhook={webhook[0]}", alert_path, f"/events?webhook={webhook[0]}", "/webhooks"):
            visit(phone, service, path)
            body = one(phone, "body")
            assert body.value_of_css_property("background-color") == "rgba(14, 16, 24, 1)"
            assert one(phone, "html").get_property("scrollWidth") == 360
        visit(phone, service, f"/events?webhook={webhook[0]}")
        assert not one(phone, "#live").is_displayed()
        one(phone, 'input[name="q"]').send_keys("title~nothing", Keys.ENTER)
        soon(phone, lambda _: all_of(phone, "#empty"))
        visit(phone, service, f"/?webhook={webhook[0]}")
        one(phone, 'input[name="alert"]').click()
        one(phone, 'button[value="resolve"]').click()
        soon(phone, lambda _: all_of(phone, "#empty"))
        visit(phone, service, alert_path)
        one(phone, 'button[value="reopen"]').click()
        soon(phone, lambda _: one(phone, "#state").text == "triggered")
        assert browser_errors(phone) == []


def test_sign_in_with_a_token(
    browser: webdriver.Chrome, make_service: Callable[..., Service], own_database: dict[str, str], tmp_path: Path
) -> None:
    key, jwks = generate_key(), tmp_path / "jwks.json"
    write_key_pair(key, tmp_path / "private.json", jwks)
    service = make_service(EVENT_SERVICE_AUTH="jwt", EVENT_SERVICE_JWKS_FILE=str(jwks), **own_database)
    service.command = (sys.executable, "-c", WITHOUT_WAIT, "serve")
    service.start()
    token = issue_token(key, Role.WORKSPACE_OWNER, domain_id="domain-1", workspace_id="workspace-1", expires_in=600)
    visit(browser, service, "/webhooks")
    for given, heading in (("wrong", "Sign in"), (token, "Webhooks")):
        one(browser, 'input[name="token"]').send_keys(given, Keys.ENTER)
        soon(browser, lambda _, heading=heading: [each.text for each in all_of(browser, "h1")] == [heading])
    assert browser.execute_script("return document.cookie") == ""
    visit(browser, service, "/events?range=7d")
    soon(browser, lambda _: all_of(browser, ".charts .histogram"))  # loaded after the page
    assert not all_of(browser, "#charts .hint")
    browser.delete_cookie("event_service_token")
    one(browser, ".chip.severity-ERROR").click()
    soon(browser, lambda _: [each.text for each in all_of(browser, "h1")] == ["Sign in"])
    one(browser, 'input[name="token"]').send_keys(token, Keys.ENTER)
    soon(browser, lambda _: all_of(browser, "#results"))
    assert "severity=ERROR" in browser.current_url
    one(browser, ".sign-out button").click()
    soon(browser, lambda _: [each.text for each in all_of(browser, "h1")] == ["Sign in"])
    browser_errors(browser)  # the 401 of the wrong token is expected
    assert token not in service.log
