"""What tests look for in pages: elements, texts, and server-sent events."""

import re
from html.parser import HTMLParser

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
    """Check that only the console's own scripts run, and that links to other sites tell nothing."""
    for name, attributes in Elements(page).found:
        if name == "script":
            assert attributes in [{"src": f"/console/{script}", "defer": None} for script in SCRIPTS]
        assert name not in ("style", "iframe", "object", "embed", "base")
        assert not [
            one for one in attributes if one.startswith(("on", "hx-on", "hx-vals", "data-hx")) or one == "style"
        ]
        assert (attributes.get("src") or "/").startswith("/console/") or name != "img"
        if name == "a" and "rel" in attributes:  # the tool's own
            assert (attributes["href"] or "").startswith(("http://", "https://"))
            assert attributes["rel"] == "noopener noreferrer nofollow"
            continue
        for link in ("href", "action", "src", "hx-get", "sse-connect"):
            assert (attributes.get(link) or "/").startswith(("/", "#"))


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
