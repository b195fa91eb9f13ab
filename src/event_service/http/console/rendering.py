"""Templates to answers. All that is put into a template is escaped, and the browser is told to run nothing else."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from starlette.responses import HTMLResponse, Response

_PACKAGE = "event_service.http.console"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}

HEADERS = {
    # Nothing inline, nothing from elsewhere: what a payload smuggles into a page does not run.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # no-referrer would make browsers say `Origin: null` when they send our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Pages hold events, and one of them a new access key.
    "Cache-Control": "no-store",
}

HTMX_CONFIG = json.dumps(
    {
        # What the policy above forbids anyway: htmx need not try.
        "allowEval": False,
        "allowScriptTags": False,
        "includeIndicatorStyles": False,
        "selfRequestsOnly": True,
        # Nothing of one signed-in person stays in the browser for the next; going back asks the service again.
        "historyCacheSize": 0,
        "refreshOnHistoryMiss": True,
        # 400 is a list with a word about what was typed. Of other failures the script makes a page.
        "responseHandling": [
            {"code": "[23]..|400", "swap": True},
            {"code": "...", "swap": False, "error": True},
        ],
    }
)


class Renderer:
    """Fills templates.

    Args:
        common: what every template knows.
    """

    def __init__(self, common: Mapping[str, Any]) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader(_PACKAGE),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update({"htmx_config": HTMX_CONFIG, **common})

    def text(self, template: str, values: Mapping[str, Any]) -> str:
        """The template as HTML."""
        return self._templates.get_template(template).render(values)

    def page(self, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
        """The template as a page."""
        return HTMLResponse(self.text(template, values), status, HEADERS)


def asset(name: str, known_tags: str = "") -> Response | None:
    """A file that pages refer to; None where there is none of this name.

    Args:
        known_tags: the tags of what the browser has kept, as If-None-Match names them. What it has is not sent again.
    """
    kind = name.rpartition(".")[2]
    content = _assets().get(name)
    if content is None:
        return None
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**HEADERS, "Content-Type": _TYPES[kind], "Cache-Control": "no-cache", "ETag": tag}
    if tag in known_tags:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers)


@cache
def _assets() -> dict[str, bytes]:
    found = (files(_PACKAGE) / "assets").iterdir()
    return {file.name: file.read_bytes() for file in found if file.name.rpartition(".")[2] in _TYPES}
