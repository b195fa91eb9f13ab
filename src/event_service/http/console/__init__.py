"""The console at `/`: HTML pages over the same managers and scopes as the API.

Rendered on the server. htmx, shipped in `assets`, replaces results without a page load, loads slow charts later, and
adds live rows; everything else works without scripts.
"""

from event_service.http.console.routes import console_routes

__all__ = ["console_routes"]
