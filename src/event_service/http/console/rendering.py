"""Templates to answers. All that is put into a template is escaped, and the browser is told to run nothing else."""

from collections.abc import Mapping
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
        self._templates.globals.update(common)

    def text(self, template: str, values: Mapping[str, Any]) -> str:
        """The template as HTML."""
        return self._templates.get_template(template).render(values)

    def page(self, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
        """The template as a page."""
        return HTMLResponse(self.text(template, values), status, HEADERS)


def asset(name: str) -> Response | None:
    """A file that pages refer to; None where there is none of this name."""
    kind = name.rpartition(".")[2]
    source = files(_PACKAGE) / "assets" / name
    if "/" in name or "\\" in name or kind not in _TYPES or not source.is_file():
        return None
    headers = {**HEADERS, "Content-Type": _TYPES[kind], "Cache-Control": "no-cache"}
    return Response(source.read_bytes(), headers=headers)
