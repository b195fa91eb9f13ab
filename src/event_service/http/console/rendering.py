"""Templates as responses.

All values are made printable and escaped for HTML, and the headers forbid all scripts but the console's own.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from starlette.responses import HTMLResponse, Response

from event_service.printable import printable_lines

_PACKAGE = "event_service.http.console"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}

HEADERS = {
    # Nothing inline and nothing of other sites: a script injected by a payload does not run.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With no-referrer, browsers send `Origin: null` with the console's own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Pages hold events, one of them a new access key.
    "Cache-Control": "no-store",
}

HTMX_CONFIG = json.dumps(
    {
        # The policy above forbids these anyway.
        "allowEval": False,
        "allowScriptTags": False,
        "includeIndicatorStyles": False,
        "selfRequestsOnly": True,
        # The next user of the browser must not see cached pages; going back loads the page again.
        "historyCacheSize": 0,
        "refreshOnHistoryMiss": True,
        # 400 is a list with an error about the form. The script shows other errors as a page.
        "responseHandling": [
            {"code": "[23]..|400", "swap": True},
            {"code": "...", "swap": False, "error": True},
        ],
    }
)


class Verbatim(str):
    """Text that templates do not pass through `printable_lines`: values of form fields, and JSON."""

    __slots__ = ()


class Renderer:
    """The Jinja environment of the templates. Text values are made printable and escaped for HTML.

    Args:
        common: values available in every template.
    """

    def __init__(self, common: Mapping[str, Any]) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader(_PACKAGE),
            autoescape=True,
            finalize=_finalize,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["verbatim"] = Verbatim
        self._templates.globals.update({"htmx_config": HTMX_CONFIG, **common})

    def text(self, template: str, values: Mapping[str, Any]) -> str:
        """Return a template as HTML."""
        return self._templates.get_template(template).render(values)

    def page(self, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
        """Return a template as a response."""
        return HTMLResponse(self.text(template, values), status, HEADERS)


def _finalize(value: Any) -> Any:
    return printable_lines(value) if type(value) is str else value


def asset(name: str, known_tags: str = "") -> Response | None:
    """Return a static file as a response; None if it does not exist.

    Args:
        known_tags: the header If-None-Match. The response is 304 if it holds the file's tag.
    """
    kind = name.rpartition(".")[2]
    content = _assets().get(name)
    if content is None:
        return None
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    # no-cache: revalidated by tag on every page, so that an upgrade takes effect immediately.
    headers = {**HEADERS, "Content-Type": _TYPES[kind], "Cache-Control": "no-cache", "ETag": tag}
    if tag in known_tags:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers)


@cache
def _assets() -> dict[str, bytes]:
    found = (files(_PACKAGE) / "assets").iterdir()
    return {file.name: file.read_bytes() for file in found if file.name.rpartition(".")[2] in _TYPES}
